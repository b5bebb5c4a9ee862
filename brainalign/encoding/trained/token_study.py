"""An encoder trained on the tokens of each layer: its scores, simpler encoders beside it, and where it looks."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone

from brainalign.arrays import Rows, Values, flatten_rows, row_blocks, take_rows
from brainalign.checks import BrainalignError
from brainalign.encoding.networks import FactorizedReadout, GaussianReadout, SeedEnsemble
from brainalign.encoding.scoring import Contender, HeldOut, ImageSubject, side_by_side
from brainalign.encoding.trained.token_ensemble import NetworkEnsemble
from brainalign.regression import Epoch, Ridge, check_validation
from brainalign.statistics import RELIABLE

SMALL = 500  # training images up to which a penalty of each target's own is too uncertain to stand alone
MOST_CHANNELS = 64  # whose products are taken; of more, the leading components
MOST_SEMANTIC, MOST_INTERACTIONS = 16, 10_000  # components of semantics, and columns of their products with tokens


@dataclass(frozen=True)
class TokenLayer:
    """The tokens of one layer, and how encoders are fitted to them on the targets that are trained."""

    study: "TokenStudy"
    name: str
    tokens: Values  # (n_trials, n_tokens, n_channels), in memory or stored
    grid: tuple[int, int]
    test: Rows  # a trial of each test stimulus, in the order of the scores
    told: dict[str, Any]  # regions and semantics, as far as the encoder is told of them

    def scaled(self, values: Values, *, maps: bool) -> Values:
        """Return features (n_trials, ...) as ridge takes them: centred and scaled by training rows alone."""
        return self.study.subject.inputs(values, maps=maps)

    def evaluate(self, encoder: Any, X: Values, **told: Any) -> HeldOut:
        """Fit and score an encoder on the targets that are trained."""
        study, inside = self.study, self.study.inside
        chosen = study.flat[:, study.targets]
        return study.subject.evaluate(encoder, X, Y=chosen, target_groups=inside, n_permutations=0, **told)

    def ridge(self, name: str, X: Values) -> dict[str, Contender]:
        """Return ridge regression on features (n_trials, n_features); with few images also one penalty for all targets.

        Penalties that are chosen for each target are too scattered then.
        """
        n_parameters, device = (X.shape[1] + 1) * len(self.study.targets), self.study.encoder.device
        kinds = {name: Ridge(device=device)}
        if self.study.n_images <= SMALL:
            kinds[f"{name}, one penalty"] = Ridge(per_target_alpha=False, device=device)
        return {name: Contender(self.evaluate(ridge, X), n_parameters) for name, ridge in kinds.items()}

    def changed(self, **options: Any) -> Contender:
        """Return the encoder itself with other options, trained in the same way."""
        ensemble = self.study.ensemble_of(self.name, clone(self.study.encoder).set_params(**options))
        held = self.evaluate(ensemble, self.tokens, grid=self.grid, **self.told)
        semantics = None if self.study.semantics is None else self.study.semantics[self.test]
        return Contender.trained(held, self.study.inside, take_rows(self.tokens, self.test), semantics)

    def readout(self, encoder: Any) -> Contender:
        """Return a read-out that is trained as the encoder is, with the options that they share."""
        trained = self.study.encoder.get_params()
        shared = set(encoder.get_params()) & set(trained) - {"progress", "checkpoint"}
        options = {name: value for name, value in trained.items() if name in shared}
        if options.get("patience") is not None:  # of an encoder that knows no other schedule than a constant one
            options.setdefault("schedule", "constant")
        ensemble = self.study.ensemble_of(self.name, encoder.set_params(**options))
        held = self.evaluate(ensemble, self.tokens, grid=self.grid)
        return Contender.trained(held, self.study.inside, take_rows(self.tokens, self.test))


def _all_tokens(layer: TokenLayer) -> dict[str, Contender]:
    """Return ridge on all tokens; where the encoder knows semantics, also on both."""
    X = layer.scaled(layer.tokens, maps=True)
    found = layer.ridge("ridge, all tokens", X)
    if layer.study.semantics is not None:
        both = np.concatenate([X, layer.scaled(layer.study.semantics, maps=False)], axis=1)
        found |= layer.ridge("ridge, tokens and semantics", both)
    return found


def _mean_token(layer: TokenLayer) -> dict[str, Contender]:
    return layer.ridge(
        "ridge, mean token", layer.scaled(np.stack([each.mean(axis=0) for each in layer.tokens]), maps=False)
    )


def _other_readout(
    name: str, kind: type[FactorizedReadout] | type[GaussianReadout], layer: TokenLayer
) -> dict[str, Contender]:
    """Return a read-out, unless it is itself what was trained."""
    return {} if isinstance(layer.study.encoder, kind) else {name: layer.readout(kind())}


def _second_order(layer: TokenLayer) -> dict[str, Contender]:
    """Return ridge on the mean over tokens of the products of two channels: what goes with what, wherever it is."""
    tokens: Any = layer.tokens
    _, n_tokens, n_channels = tokens.shape
    if n_channels > MOST_CHANNELS:  # image by image: all tokens may be larger than memory
        moment = np.zeros((n_channels, n_channels))
        for row in layer.study.subject.train:
            moment += tokens[row].T @ tokens[row]
        n_channels = MOST_CHANNELS
        leading = np.asarray(np.linalg.eigh(moment)[1][:, -n_channels:], dtype=tokens.dtype)
        tokens = (each @ leading for each in tokens)
    pairs = np.triu_indices(n_channels)
    products = np.stack([(each.T @ each)[pairs] for each in tokens]) / n_tokens
    return layer.ridge("ridge, products of channels", layer.scaled(products, maps=False))


def _interactions(layer: TokenLayer) -> dict[str, Contender]:
    """Fit ridge to tokens and to tokens times semantic values, reduced where too wide; nothing without semantics."""
    train, semantics = layer.study.subject.train, layer.study.semantics
    if semantics is None:
        return {}
    from sklearn.decomposition import PCA
    from sklearn.random_projection import SparseRandomProjection

    z, x = semantics, flatten_rows(layer.tokens)
    n_semantic = min(MOST_SEMANTIC, len(train) - 1)
    if z.shape[1] > n_semantic:
        z = PCA(n_semantic).fit(z[train]).transform(z)
    n_tokens = MOST_INTERACTIONS // (1 + z.shape[1])
    if x.shape[1] > n_tokens:
        projection = SparseRandomProjection(n_tokens, random_state=0).fit(np.zeros((1, x.shape[1]), x.dtype))
        x = np.concatenate([projection.transform(x[rows]) for rows in row_blocks(x)])
    x, seen = np.asarray(layer.scaled(x, maps=True)), z[train]
    # What is constant in training rows stays 0 in them; its standard deviation is rounding, seldom 0.
    z = (z - seen.mean(axis=0)) / np.where(np.ptp(seen, axis=0) > 0, seen.std(axis=0), 1)
    both = np.concatenate([x, *(x * value[:, None] for value in z.T)], axis=1)
    return layer.ridge("ridge, tokens times semantics", both.astype(np.float32))


BASELINES: dict[str, Callable[[TokenLayer], dict[str, Contender]]] = {
    "tokens": _all_tokens,
    "mean": _mean_token,
    "second_order": _second_order,
    "interactions": _interactions,
    "factorized": partial(_other_readout, "factorized", FactorizedReadout),
    "gaussian": partial(_other_readout, "gaussian", GaussianReadout),
}


ROUTING_CONTROLS: dict[str, tuple[str, dict[str, Any]]] = {
    "frozen_queries": ("frozen queries", {"frozen_queries": True}),
    "content": ("content keys", {"keys": "content"}),
    "position": ("position keys", {"keys": "position"}),
}
"""How each is called in tables, and which options of the encoder it changes."""


ENSEMBLE = "all layers, ensemble"  # where others have the name of a layer
N_SHOWN = 4  # test images whose attention is kept


@dataclass
class TokenFindings:
    """What stands beside the scores of an encoder of tokens.

    Attributes
    ----------
    tables : list of DataFrame
        As `side_by_side` returns them, with a column layer; one per layer, and one of the ensemble beside each layer.
    fields : dict of arrays (n_shown or 1, n_groups, n_tokens)
        By layer: where the encoder looks.
    layers : dict
        Of each layer of `fields` the grid, and the groups in order ("regions").
    stimuli : list of str
        Test images that fields depend on; none where they do not.
    ensemble : HeldOut or None
        All layers and seeds together, where asked for.
    weights : DataFrame
        Of the ensemble: group, layer, weight (mean over the targets of the group).
    """

    tables: list[pd.DataFrame] = field(default_factory=list)
    fields: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    layers: dict[str, dict[str, object]] = field(default_factory=dict)
    stimuli: list[str] = field(default_factory=list)
    ensemble: HeldOut | None = None
    weights: pd.DataFrame = field(default_factory=pd.DataFrame)


@dataclass(frozen=True, kw_only=True)
class TokenStudy:
    """Trains an encoder on the tokens of each layer, and fits simpler ones to the same.

    Attributes
    ----------
    subject : ImageSubject
        Whose groups are of `targets` alone, so that encoders are compared on the same ones.
    name : str
        Of the encoder, in tables.
    encoder : encoder that is trained
    seeds : sequence of int
    baselines : sequence of str
        Keys of `BASELINES`.
    controls : sequence of str
        Keys of `ROUTING_CONTROLS`.
    ensemble : bool
        Also score all layers and seeds together.
    targets : array of target numbers
        That are trained, in ascending order; the others have no score.
    regions : sequence of str
        The groups that may have a query of their own.
    shown : sequence of str
        The groups whose fields are kept.
    hemispheres : array (n_targets,) of "L" and "R", optional
    semantics : array (n_trials, n_semantic), optional
    cls : mapping of array (n_trials, n_channels)
        The CLS token of each layer that has one.
    checkpoint : Path
        Folder of what a killed run has trained.
    progress : function of (what is trained, its number of epochs, seed, Epoch)
    """

    subject: ImageSubject
    name: str
    encoder: Any
    seeds: Sequence[int]
    baselines: Sequence[str]
    controls: Sequence[str] = ()
    ensemble: bool = False
    targets: Rows
    regions: Sequence[str]
    shown: Sequence[str]
    hemispheres: NDArray[Any] | None = None
    semantics: Values | None = None
    cls: Mapping[str, Values] = field(default_factory=dict)
    checkpoint: Path
    progress: Callable[[str, int, int, Epoch], None]

    @classmethod
    def of(cls, subject: ImageSubject, /, *, targets: Literal["reliable", "all"], **known: Any) -> Self:
        """Return the study of a subject; of its reliable targets where they are asked for and there are some.

        Sensors and times share one training, so that all of them are trained.
        """
        responses, reliable = subject.responses, subject.groups[RELIABLE]
        timed = responses.times is not None
        some = targets == "reliable" and not timed and len(reliable)
        chosen = reliable if some else np.arange(responses.values[0].size)
        hemispheres = np.repeat(responses.targets["hemi"].to_numpy(dtype=str), responses.values[0, 0].size)
        groups = {name: np.intersect1d(rows, chosen) for name, rows in subject.groups.items()}
        return cls(
            subject=replace(subject, groups=groups),
            targets=chosen,
            regions=[] if timed else [name for name in subject.groups if name != RELIABLE],
            shown=[RELIABLE] if timed else list(subject.groups),
            hemispheres=hemispheres,
            **known,
        )

    @property
    def flat(self) -> Values:
        """Responses (n_trials, n_targets), sensors and times side by side."""
        return self.subject.responses.values.reshape(len(self.subject.responses.values), -1)

    @property
    def n_images(self) -> int:
        """How many images training has."""
        return len(np.unique(self.subject.stimulus_ids[self.subject.train]))

    @property
    def inside(self) -> dict[str, Rows]:
        """Return the groups in numbers among the trained targets."""
        return {name: np.searchsorted(self.targets, rows) for name, rows in self.subject.groups.items()}

    def fits(
        self, layers: Iterable[tuple[str, Values, tuple[int, int] | None]], findings: TokenFindings
    ) -> Iterator[tuple[str, HeldOut]]:
        """Yield the evaluation of each layer; what else is found goes to `findings`.

        A layer is its name, tokens (n_trials, n_tokens, n_channels) and their grid.
        """
        check_validation(self.n_images, self.encoder.validation, "training images")
        told = self._labels() | ({} if self.semantics is None else {"semantics": self.semantics})
        ids = pd.Index(self.subject.stimulus_ids)
        once = np.flatnonzero(~ids.duplicated())  # the first trial of each stimulus
        alone: dict[str, Contender] = {}
        together = NetworkEnsemble()
        for name, tokens, grid in layers:
            if tokens.ndim != 3 or grid is None:
                raise BrainalignError(
                    f"layer {name!r} has shape {tokens.shape} and grid {grid}; encoders of tokens need "
                    "(n, n_tokens, n_channels) and their grid: choose layers with a map, or leave this one out"
                )
            ensemble = self.ensemble_of(name, self.encoder).set_params(targets=self.targets)
            found = self.subject.evaluate_in_full(ensemble, tokens, grid=grid, **told)
            layer = TokenLayer(self, name, tokens, grid, once[ids[once].get_indexer(found.test_ids)], told)
            shown = (take_rows(tokens, layer.test), None if self.semantics is None else self.semantics[layer.test])
            alone[name] = Contender.trained(found, self.subject.groups, *shown)
            findings.tables.append(self._table({self.name: alone[name]} | self._beside(layer), name))
            self._look(name, found, shown[0][:N_SHOWN], grid, findings)
            if self.ensemble:
                together.add(name, found, *shown)
            yield name, found
        if self.ensemble:
            first = together.contender(
                next(iter(alone.values())).found, partial(self.subject.score, target_groups=self.subject.groups)
            )
            findings.ensemble, findings.weights = first.found, together.weights(self.subject.groups)
            contenders = {f"{self.name}, ensemble": first} | {
                f"{self.name}, {name}": contender for name, contender in alone.items()
            }
            findings.tables.append(self._table(contenders, ENSEMBLE))

    def _beside(self, layer: TokenLayer) -> dict[str, Contender]:
        """Return the simpler encoders and the controls that were asked for."""
        found: dict[str, Contender] = {}
        for name, fit in BASELINES.items():
            found |= fit(layer) if name in self.baselines else {}
        if layer.name in self.cls:
            found |= layer.ridge("ridge, CLS token", layer.scaled(self.cls[layer.name], maps=False))
        for name, (title, options) in ROUTING_CONTROLS.items():
            found |= {f"{self.name}, {title}": layer.changed(**options)} if name in self.controls else {}
        return found

    def _table(self, contenders: Mapping[str, Contender], layer: str) -> pd.DataFrame:
        sizes = [len(rows) for rows in self.subject.groups.values()]
        return side_by_side(contenders, sizes, self.subject.confidence).assign(layer=layer)

    def _labels(self) -> dict[str, Any]:
        """Label the targets that share a query, for encoders that have queries of regions or hemispheres."""
        queries = getattr(self.encoder, "queries", None)
        if queries == "hemisphere" and self.hemispheres is not None:
            return {"roi": self.hemispheres[self.targets]}
        if queries != "roi":
            return {}
        regions = [self.inside[name] for name in self.regions if len(self.subject.groups[name])]
        if not regions:
            raise BrainalignError(
                "queries: roi needs regions, but no target of this subject lies in one; choose queries: target, parcel "
                "or hemisphere, give regions in the descriptor, or name the subjects that have some in the method"
            )
        members = np.zeros((len(regions), len(self.targets)), dtype=bool)
        for member, rows in zip(members, regions, strict=True):
            member[rows] = True
        return {"roi": members}

    def ensemble_of(self, layer: str, encoder: Any) -> SeedEnsemble:
        """Return an encoder on a layer, to be trained from every seed of the study."""
        progress = partial(self.progress, f"{layer}, {type(encoder).__name__}", encoder.epochs)
        return SeedEnsemble(encoder, tuple(self.seeds), self.checkpoint, progress)

    def _look(self, layer: str, found: HeldOut, tokens: Values, grid: tuple[int, int], findings: TokenFindings) -> None:
        """Keep where the encoder of the first seed looks in some images: the mean field of each group."""
        first = cast(SeedEnsemble, found.encoder).encoders_[0]
        groups = [name for name in self.shown if len(self.subject.groups[name])]
        if not groups:
            return
        inside = [self.inside[name] for name in groups]
        if hasattr(first, "attention"):
            # Targets of a group may have several queries: their mean, by how many targets read each.
            weights = np.stack([first.members_[:, rows].sum(axis=1) for rows in inside]).astype(float)
            weights /= weights.sum(axis=1, keepdims=True)
            fields = np.einsum("rq,nqp->nrp", weights, np.asarray(first.attention(tokens)))
            findings.stimuli = found.test_ids[: len(tokens)].tolist()
        else:
            each = np.abs(np.asarray(first.fields_))
            grid = (each.shape[1], each.shape[2])  # of the maps that are read out: those of a core may be smaller
            fields = np.stack([each[rows].mean(axis=0).ravel() for rows in inside])[None]
        findings.fields[layer] = fields.astype(np.float32)
        findings.layers[layer] = {"grid": list(grid), "regions": groups}
