"""From weights of voxels to words: nearest phrases, attribute by attribute, or what a function says.

Weights of an encoder lie off the manifold of embeddings, where no captioner has read. So they are first replaced by
averages of the images of a bank that they point at, which do not.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_finite, check_rows

Writer = Callable[[Values], Sequence[str]]  # points (n_voxels, d) of an image embedding to as many texts
Embedder = Callable[[Sequence[str]], Values]  # texts to points (n_texts, d) of the space of the images
ANY = ""  # the value of an attribute about which nothing is said


@dataclass(frozen=True)
class Captions:
    """What a captioner says of voxels.

    Attributes
    ----------
    texts : array (n_voxels,) of str
        Empty where nothing is said.
    embeddings : array (n_voxels, d)
        What images are compared with to score a caption; NaN where it says nothing, or where none is known.
    values : dict of arrays (n_voxels,) of str
        By attribute; empty for captioners without attributes.
    """

    texts: NDArray[np.str_]
    embeddings: Values
    values: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)


class Captioner(Protocol):
    """Anything that says something of points (n_voxels, d) of an image embedding."""

    def __call__(self, projected: Values) -> Captions:
        """Return a caption per row."""


def caption_targets(projected: Values, captioner: Captioner) -> Captions:
    """Return a caption per projected voxel, and check that the captioner gave as many.

    Of voxels (n_voxels, d) from `project_to_bank`, finite, by a `VocabularyCaptioner`, `AttributeCaptioner`,
    `PrefixCaptioner`, `TextCaptioner` around a function, or alike.
    """
    projected = np.asarray(projected, dtype=np.float64)
    if projected.ndim != 2 or not np.isfinite(projected).all():
        raise BrainalignError(f"projected weights must be finite, (n_voxels, d); got shape {projected.shape}")
    found = captioner(projected)
    if len(found.texts) != len(projected) or found.embeddings.shape != projected.shape:
        raise BrainalignError(
            f"the captioner gave {len(found.texts)} captions with embeddings {found.embeddings.shape} for projected "
            f"weights {projected.shape}; it must give one per voxel, embedded in the space of the images"
        )
    return found


class VocabularyCaptioner:
    """The phrase whose embedding is nearest in angle; `following`, where there are responses, predicts others better.

    Parameters
    ----------
    phrases : sequence of str (n_phrases)
    embeddings : array (n_phrases, d)
        Of the phrases, in the space of the images; of images, where phrases are the captions of a bank.
    origin : array (d,), optional
        Mean direction of images, from which angles of projected voxels are measured; phrases are then measured from
        theirs. It takes out the gap between texts and images, and what all images share.

    Raises
    ------
    BrainalignError
        If there is no phrase, or not a finite embedding for each.

    Examples
    --------
    >>> captioner = VocabularyCaptioner(["red", "blue"], np.eye(2))
    >>> caption_targets(np.array([[0.2, 0.9]]), captioner).texts.tolist()
    ['blue']
    """

    def __init__(self, phrases: Sequence[str], embeddings: Values, origin: Values | None = None) -> None:
        if not len(phrases) or len(phrases) != len(embeddings):
            raise BrainalignError(f"a vocabulary needs an embedding per phrase; got {len(phrases)}, {len(embeddings)}")
        check_finite("embeddings of phrases", np.asarray(embeddings), "leave out the phrases that hold them")
        self.phrases = np.asarray(list(phrases), dtype=np.str_)
        self.origin = origin
        units = _units(np.asarray(embeddings, dtype=np.float64))
        self.embeddings = units if origin is None else _units(units - units.mean(axis=0))

    def __call__(self, projected: Values) -> Captions:
        """Return the nearest phrase of every row."""
        best = (_from(projected, self.origin) @ self.embeddings.T).argmax(axis=1)
        return Captions(self.phrases[best], self.embeddings[best])

    def following(self, images: Values, responses: Values) -> Captions:
        """Return the phrase per voxel whose cosine with images (n_images, d) responses (n_images, n_voxels) follow."""
        images, responses = np.asarray(images, dtype=np.float64), np.asarray(responses)
        check_finite("responses", responses, "leave out those voxels or images")
        cosines = _units(images) @ self.embeddings.T
        cosines -= cosines.mean(axis=0)  # in place: there may be as many phrases as images
        spread = np.linalg.norm(cosines, axis=0)
        cosines /= np.where(spread > 1e-9, spread, np.inf)
        best = (cosines.T @ responses).argmax(axis=0)
        return Captions(self.phrases[best], self.embeddings[best])


class AttributeCaptioner:
    """The best value of every attribute by itself: "red, any shape".

    Parameters
    ----------
    attributes : mapping of str to (values, embeddings (n_values, d))
    origin : array (d,), optional
        As of `VocabularyCaptioner`; values of each attribute are measured from their own mean.

    Raises
    ------
    BrainalignError
        If there is no attribute, or one has fewer than two values.
    """

    def __init__(self, attributes: Mapping[str, tuple[Sequence[str], Values]], origin: Values | None = None) -> None:
        single = [name for name, (values, _) in attributes.items() if len(values) < 2]
        if not attributes or single:
            raise BrainalignError(f"attributes need two values or more each; {', '.join(single) or 'there are none'}")
        self.origin = origin
        self.vocabularies = {
            name: VocabularyCaptioner(values, embeddings, np.zeros(np.shape(embeddings)[1]))
            for name, (values, embeddings) in attributes.items()
        }

    def __call__(self, projected: Values) -> Captions:
        """Return the best value of every attribute for every row."""
        points = _from(projected, self.origin)
        return self.said({name: each(points).texts for name, each in self.vocabularies.items()})

    def following(self, images: Values, responses: Values) -> Captions:
        """Return the values that responses follow best, as of `VocabularyCaptioner`."""
        return self.said({name: each.following(images, responses).texts for name, each in self.vocabularies.items()})

    def said(self, values: Mapping[str, NDArray[np.str_]]) -> Captions:
        """Return captions of known values (n_voxels,) by attribute, of which some may be `ANY`."""
        parts, embeddings = [], []
        for name, each in self.vocabularies.items():
            row = {ANY: np.zeros(each.embeddings.shape[1])}
            row |= {str(phrase): e for phrase, e in zip(each.phrases, each.embeddings, strict=True)}
            embeddings.append(np.stack([row[str(value)] for value in values[name]]))
            parts.append([str(value) if value != ANY else f"any {name}" for value in values[name]])
        total = np.sum(embeddings, axis=0)
        silent = np.all([values[name] == ANY for name in self.vocabularies], axis=0)
        total[silent] = np.nan
        texts = np.array([", ".join(words) for words in zip(*parts, strict=True)], dtype=np.str_)
        return Captions(np.where(silent, "", texts).astype(np.str_), _units(total), values)


class TextCaptioner:
    """What a function says, with embeddings of its texts where something can embed them.

    `write` turns projected voxels (n_voxels, d) into as many texts: a language model, a service, a person. `embed`
    turns texts into points in the space of the images; without it captions are shown but cannot be scored.
    """

    def __init__(self, write: Writer, embed: Embedder | None = None) -> None:
        self.write = write
        self.embed = embed

    def __call__(self, projected: Values) -> Captions:
        """Write captions with the function, and embed them where it is known how."""
        texts = [str(text) for text in self.write(projected)]
        embeddings = np.full(projected.shape, np.nan)
        if self.embed is not None and texts:
            different = list(dict.fromkeys(texts))
            found = dict(zip(different, self.embed(different), strict=True))
            embeddings = np.stack([found[text] for text in texts]).astype(np.float64)
        return Captions(np.array(texts, dtype=np.str_), embeddings)


def noun_shares(
    texts: Sequence[str], regions: Mapping[str, NDArray[np.intp]], nouns: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Return, by region and noun, the share of the voxels whose caption holds it; NaN for a region without voxels.

    Nouns are whole words or phrases, whatever their case.
    """
    said = np.array([[holds(text, noun) for noun in nouns] for text in texts]).reshape(len(texts), len(nouns))
    return {
        region: dict(zip(nouns, said[rows].mean(axis=0).tolist() if len(rows) else [np.nan] * len(nouns), strict=True))
        for region, rows in regions.items()
    }


def holds(text: str, noun: str) -> bool:
    """Return whether a text holds a word or phrase as a whole: "car" is not in "scarf"."""
    apart = ["".join(one if one.isalnum() or one == "-" else " " for one in of.lower()) for of in (text, noun)]
    mine, asked = (f" {' '.join(words.split())} " for words in apart)
    return asked in mine


def _units(rows: Values) -> NDArray[np.float64]:
    """Return rows at unit length; a row of nothing, or of rounding errors, stays zero."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.where(norms > 1e-9, rows / np.where(norms > 1e-9, norms, 1), np.where(np.isnan(norms), np.nan, 0.0))


def _from(projected: Values, origin: Values | None) -> NDArray[np.float64]:
    """Return directions as seen from the origin."""
    units = _units(projected)
    return units if origin is None else _units(units - np.asarray(origin))


class Bank(Protocol):
    """Embeddings of images (n_bank, d): an array, a memory map or a dask array; rows are read as they are needed."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n_bank, d)"""

    def __getitem__(self, rows: slice, /) -> Any:
        """Return some rows."""


def project_to_bank(
    weights: Values, bank: Bank, temperature: float = 150.0, center: bool = False, chunk: int = 65536
) -> NDArray[np.float64]:
    """Replace every weight vector by an average of the images of a bank, weighted by how well it points at them.

    With ŵ and m̂ at unit length, p_i = softmax_i(T ŵ·m̂_i); the direction is that of Σ p_i m̂_i, the length Σ p_i |m_i|,
    decoded apart because averages of unit vectors are short.

    Parameters
    ----------
    weights : array (d, n_voxels)
        Of an encoder that is linear in embeddings of unit length.
    bank : array (n_bank, d)
        Embeddings of images. Read in chunks, so that it need not fit into memory.
    temperature : float
        T: 0 gives the mean of the bank whatever the weights, infinity the nearest image.
    center : bool
        Measure angles from the mean direction of the bank, for embeddings that crowd around it. Averages are of the
        images as they are.
    chunk : int
        Rows of the bank at once; the result does not depend on it.

    Returns
    -------
    array (n_voxels, d)

    Raises
    ------
    BrainalignError
        If shapes do not match, a weight vector or an image is zero or not finite, or the temperature is negative.

    References
    ----------
    Luo AF, Henderson MM, Tarr MJ, Wehbe L (2024). BrainSCUBA: fine-grained natural language captions of visual cortex
    selectivity. ICLR. arXiv:2310.04420
    """

    asked = (weights, bank, temperature, center, chunk)
    sums = _softmax_average(*asked, lambda _, units, norms: np.column_stack([units, norms]))  # (n_voxels, d + 1)
    direction = sums[:, :-1]
    length = np.linalg.norm(direction, axis=1, keepdims=True)
    # Images that cancel have no mean direction: it stays zero.
    return np.asarray(direction / np.where(length > 0, length, 1) * sums[:, -1:])


def bank_shares(
    weights: Values,
    bank: Bank,
    memberships: NDArray[np.bool_],
    temperature: float = 150.0,
    center: bool = False,
    chunk: int = 65536,
) -> NDArray[np.float64]:
    """Return the share (n_voxels, n_kinds) of every voxel's softmax weight that lies on images of a kind.

    `memberships` (n_bank, n_kinds) says which images are of which kind: red ones, small ones; others as of
    `project_to_bank`.
    """
    check_rows("memberships", len(memberships), "the bank", bank.shape[0], "give one row per image")
    asked = (weights, bank, temperature, center, chunk)
    return _softmax_average(*asked, lambda rows, _, __: np.asarray(memberships[rows], dtype=np.float64))


def _softmax_average(
    weights: Values,
    bank: Bank,
    temperature: float,
    center: bool,
    chunk: int,
    content: Callable[[slice, Values, Values], Values],
) -> NDArray[np.float64]:
    """Return Σ p_i content_i (n_voxels, n_columns) in one pass: sums are rescaled whenever a larger logit turns up."""
    pointing = _checked(weights, bank, temperature, chunk)
    middle = np.zeros(len(pointing))
    if center:
        middle += sum(units.sum(axis=0) for _, units, _ in _chunks(bank, chunk)) / bank.shape[0]
    n_voxels = pointing.shape[1]
    most, total = np.full(n_voxels, -np.inf), np.zeros(n_voxels)
    sums: NDArray[np.float64] | None = None
    for rows, units, norms in _chunks(bank, chunk):
        apart = units - middle
        if center:
            apart /= np.maximum(np.linalg.norm(apart, axis=1, keepdims=True), 1e-12)
        cosines = apart @ pointing  # (n, n_voxels)
        columns = content(rows, units, norms)
        if sums is None:
            sums = np.zeros((n_voxels, columns.shape[1]))
        best = cosines.max(axis=0)
        if np.isinf(temperature):  # the first of equally near images
            nearer = best > most
            sums[nearer] = columns[cosines.argmax(axis=0)[nearer]]
            most, total = np.maximum(most, best), np.ones(n_voxels)
            continue
        highest = np.maximum(most, temperature * best)
        kept = np.exp(most - highest)
        shares = np.exp(temperature * cosines - highest)
        sums = sums * kept[:, None] + shares.T @ columns
        total, most = total * kept + shares.sum(axis=0), highest
    assert sums is not None
    return sums / total[:, None]


def _checked(weights: Values, bank: Bank, temperature: float, chunk: int) -> NDArray[np.float64]:
    """Return weights at unit length."""
    weights = np.asarray(weights, dtype=np.float64)
    if weights.ndim != 2 or len(bank.shape) != 2 or not bank.shape[0]:
        raise BrainalignError(
            f"weights must be (d, n_voxels) and the bank (n_bank, d); got {weights.shape} and {tuple(bank.shape)}"
        )
    d = bank.shape[1]
    if weights.shape[0] != d:
        turned = weights.shape[1] == d
        remedy = "weights are (d, n_voxels): give weights.T" if turned else "both must be of the same layer"
        raise BrainalignError(f"weights have {weights.shape[0]} rows but embeddings of the bank {d} columns; {remedy}")
    if not temperature >= 0 or chunk < 1:
        raise BrainalignError(f"temperature must be 0 or more and chunk 1 or more; got {temperature} and {chunk}")
    norms = np.linalg.norm(weights, axis=0)
    _check_lengths(norms, "weights of voxels", "column", "leave voxels out that do not vary")
    return np.asarray(weights / norms)


def _check_lengths(norms: NDArray[np.float64], what: str, place: str, remedy: str, first: int = 0) -> None:
    bad = np.flatnonzero(~(np.isfinite(norms) & (norms > 0)))
    if len(bad):
        raise BrainalignError(f"{len(bad)} {what} are zero or not finite (first: {place} {first + bad[0]}); {remedy}")


def _chunks(bank: Bank, chunk: int) -> Iterator[tuple[slice, Values, Values]]:
    """Yield rows, unit vectors and norms of every part of the bank."""
    for start in range(0, bank.shape[0], chunk):
        rows = slice(start, min(start + chunk, bank.shape[0]))
        part = np.asarray(bank[rows], dtype=np.float64)
        norms = np.linalg.norm(part, axis=1)
        _check_lengths(norms, "embeddings of the bank", "row", "leave those images out", start)
        yield rows, part / norms[:, None], norms
