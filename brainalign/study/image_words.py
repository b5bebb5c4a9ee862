"""Words that belong to images: their captions, and the attributes that columns of their table give them.

captions_of         from a table with a row per caption, as many per image as there are
image_captions      the same, or the column of the table of stimuli that holds texts
check_captions      none may be empty where texts are all that a model reads
caption_words       content words that several training images share and not all do
attribute_labels    columns with few different words, and numbers in equally many parts
"""

import re
from collections.abc import Container, Mapping, Sequence
from unicodedata import category

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.checks import BrainalignError, check_choice, check_columns, check_rows, did_you_mean, listed

MOST_WORDS = 12  # different values that make a column of the table of images an attribute
TEXT_COLUMNS = ("caption", "text", "word")  # of a table of stimuli, the first that it has
NOT_ATTRIBUTES = ("stimulus_id", "path", *TEXT_COLUMNS, "texts", "sha256", "set", "split")
THIRDS = ("low", "middle", "high")

# Closed classes of English: articles, pronouns, prepositions, conjunctions, auxiliaries, a few adverbs and particles.
FUNCTION_WORDS = frozenset(
    word
    for group in (
        "a an the this that these those some any each every either neither no such one",
        "i me my mine myself we us our ours ourselves you your yours yourself he him his himself she her hers herself",
        "it its itself they them their theirs themselves who whom whose which what",
        "in on at by for from to of off with without within into onto upon over under above below about across after",
        "before against along among around as behind beneath beside besides between beyond despite down during except",
        "inside near outside past per since through throughout till toward towards underneath until up via than",
        "and or but nor so yet if because although though while whereas unless whether when where why how then there",
        "be am is are was were been being have has had having do does did doing done will would shall should can could",
        "may might must ought not too very also just only again ever even still here",
        "isn't aren't wasn't weren't don't doesn't didn't won't wouldn't can't couldn't shouldn't hasn't haven't",
        "i'm you're he's she's it's we're they're i've you've we've they've i'll you'll he'll she'll we'll they'll",
        "hadn't i'd you'd he'd she'd we'd they'd that's there's",
    )
    for word in group.split()
)


def words(text: str) -> list[str]:
    """Return lower-case words without punctuation; an apostrophe within a word stays.

    Examples
    --------
    >>> words("The dog wasn't happy, at home.")
    ['the', 'dog', "wasn't", 'happy', 'at', 'home']
    """
    marks = "" if text.isascii() else "".join(one for one in set(text) if category(one).startswith("M"))
    letters = rf"[\w{marks}]+"  # vowels of Hindi or Thai are marks, which \w leaves out
    return re.findall(f"{letters}(?:'{letters})*", text.lower().replace("’", "'"))


def text_column(columns: Container[str]) -> str | None:
    """Name the column of a table of stimuli that holds their texts: caption, text or word."""
    return next((name for name in TEXT_COLUMNS if name in columns), None)


def captions_of(
    stimulus_ids: Sequence[str], captions: pd.DataFrame, name: str = "the table of captions"
) -> list[list[str]]:
    """Return the captions of each stimulus, in the order of the table.

    Parameters
    ----------
    stimulus_ids : sequence of str
    captions : DataFrame
        A row per caption: stimulus_id, caption. Those of other stimuli are left out; rows without text count as none.
    name : str
        Of the table, for the message.

    Raises
    ------
    BrainalignError
        If a column is missing, or a stimulus has no caption.

    Examples
    --------
    >>> table = pd.DataFrame({"stimulus_id": ["a", "b", "a"], "caption": ["a cat", "a dog", "a kitten"]})
    >>> captions_of(["b", "a"], table)
    [['a dog'], ['a cat', 'a kitten']]
    """
    written = written_captions(stimulus_ids, captions, name)
    found = written["caption"].groupby(written["stimulus_id"], sort=False).agg(list)
    return [list(found[stimulus]) for stimulus in stimulus_ids]


def written_captions(
    stimulus_ids: Sequence[str], captions: pd.DataFrame, name: str = "the table of captions"
) -> pd.DataFrame:
    """Return the rows that hold a caption, after checking that every stimulus has one; arguments as `captions_of`."""
    check_columns(name, captions, ("stimulus_id", "caption"), "give a row per caption with stimulus_id and caption")
    texts = captions["caption"].fillna("").astype(str).str.strip()
    written = captions.assign(stimulus_id=captions["stimulus_id"].astype(str), caption=texts)[texts != ""]
    known = dict.fromkeys(written["stimulus_id"])
    if missing := [stimulus for stimulus in stimulus_ids if stimulus not in known]:
        raise BrainalignError(
            f"{name} has no caption of {len(missing)} of {len(stimulus_ids)} stimuli ({listed(missing)})"
            f"{did_you_mean(missing[0], known)}; add rows for them, or leave the stimuli out"
        )
    return written


def image_captions(
    stimuli: pd.DataFrame, captions: pd.DataFrame | None = None, name: str = "the table of captions"
) -> list[list[str]]:
    """Return the captions of every image.

    They are of a table with a row per caption (`captions_of`; called `name` in messages), else of the column caption,
    text or word of the table of stimuli.
    """
    if captions is not None:
        return captions_of(stimuli["stimulus_id"].astype(str).tolist(), captions, name)
    column = text_column(stimuli)
    if column is None:
        raise BrainalignError(
            "grounding needs captions: give the table of images a column caption"
            f"{did_you_mean('caption', map(str, stimuli))}, or the descriptor a table of captions"
        )
    return [[str(text)] for text in stimuli[column].fillna("")]


def check_captions(stimulus_ids: Sequence[str], texts: Sequence[Sequence[str | None]]) -> None:
    """Raise where a stimulus has no text.

    Of `texts` there are as many per stimulus as there are.
    """
    named = zip(stimulus_ids, texts, strict=True)
    if silent := [name for name, wordings in named if not any(text and str(text).strip() for text in wordings)]:
        raise BrainalignError(
            f"{len(silent)} of {len(texts)} stimuli have no caption ({listed(silent)}); write one for each, or "
            "leave the stimulus out"
        )


def caption_words(
    texts: Sequence[Sequence[str]], train: NDArray[np.bool_], min_images: int = 3
) -> tuple[list[str], NDArray[np.bool_]]:
    """Return the words, in order of the alphabet, and which captions hold which (n_images, n_words).

    Words are chosen by the images `train` alone: those that `min_images` of them hold, and not all of them, since such
    a word says nothing. Fewer than three are refused.

    Examples
    --------
    >>> texts = [["a red cat"], ["a red dog"], ["the cat sits"], ["blue dog"]]
    >>> found, said = caption_words(texts, np.ones(4, dtype=bool), min_images=2)
    >>> found, said[0].tolist()
    (['cat', 'dog', 'red'], [True, False, True])
    """
    check_rows("texts", len(texts), "train", len(train), "give the captions of every image")
    sets = [{word for text in of for word in words(text)} - FUNCTION_WORDS for of in texts]
    counts = pd.Series([word for of, mine in zip(sets, train, strict=True) if mine for word in of]).value_counts()
    most = int(np.sum(train))
    found = sorted(str(word) for word, n in counts.items() if min_images <= n < most)
    if len(found) < 3:
        raise BrainalignError(
            f"{len(found)} content words stand in the captions of {min_images} or more of {most} training images, but "
            "not of all; grounding needs three, and captions that differ"
        )
    return found, np.array([[word in of for word in found] for of in sets])


def attribute_labels(
    stimuli: pd.DataFrame, attributes: Sequence[str] = (), words: Mapping[str, Sequence[str]] | None = None
) -> dict[str, NDArray[np.str_]]:
    """Return the word of every attribute for every image; numbers become words of equally many images.

    Raises BrainalignError if there is no such column, or all images have the same value in one.

    Parameters
    ----------
    stimuli : DataFrame (n_images)
        Rows of the table of images.
    attributes : sequence of str
        Columns; all with 2 to 12 different values where not given.
    words : mapping, optional
        For columns of numbers, from small to large.
    """
    names = tuple(attributes) or tuple(
        str(name)
        for name in stimuli
        if name not in NOT_ATTRIBUTES and 2 <= stimuli[name].astype(str).nunique() <= MOST_WORDS
    )
    if not names:
        raise BrainalignError("the table of images has no column with 2 to 12 words; name some in caption.attributes")
    labels: dict[str, NDArray[np.str_]] = {}
    for name in names:
        check_choice("caption.attributes", name, [str(column) for column in stimuli])
        cells = stimuli[name].astype(object).fillna("").astype(str)
        numbers, empty = pd.to_numeric(cells, errors="coerce"), cells == ""
        if empty.any() and numbers.notna().any() and numbers[~empty].notna().all() and cells.nunique() > 3:
            if not attributes:
                continue
            raise BrainalignError(
                f"caption.attributes: {name} is a number, but {empty.sum()} of {len(cells)} images have none "
                f"({listed(stimuli['stimulus_id'][empty].tolist())}); fill it in, or leave it out"
            )
        if numbers.notna().all() and stimuli[name].nunique() > 2:
            parts = attribute_words(name, words or {})
            ranks = numbers.rank(method="first").to_numpy() - 1
            labels[name] = np.array(parts, dtype=np.str_)[(ranks * len(parts) / len(ranks)).astype(int)]
        else:
            labels[name] = cells.mask(empty, f"no {name}").to_numpy(dtype=np.str_)
        if len(set(labels[name])) < 2:
            raise BrainalignError(f"all training images have the same {name}; leave it out of caption.attributes")
    if not labels:
        raise BrainalignError("every column of the table of images has gaps; name some in caption.attributes")
    same = [a for k, a in enumerate(labels) for b in list(labels)[:k] if np.array_equal(labels[a], labels[b])]
    return {name: column for name, column in labels.items() if name not in same}  # category says what shape says


def attribute_words(name: str, words: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return the words of a column of numbers, from small to large: those given, else low, middle and high."""
    return tuple(words.get(name, ())) or tuple(f"{word} {name}" for word in THIRDS)
