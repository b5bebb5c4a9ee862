from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import pytest
from jobs import peak_bytes
from made import responses_of
from refusals import refused
from sklearn.base import clone
from worlds.fields import object_world, shifting_fields

from brainalign import encoding
from brainalign.arrays import StoredArray
from brainalign.encoding import trained
from brainalign.encoding.trained import ensemble_weights
from brainalign.statistics import pearson

N_TRAIN, N_TEST = 300, 60
EVERY = {"all": np.arange(6)}


@dataclass
class Case:
    encoder: Any
    tokens: np.ndarray
    Y: np.ndarray
    grid: tuple[int, int]
    groups: dict[str, np.ndarray]
    folder: Path
    options: dict[str, Any] = field(default_factory=dict)
    epochs: list[tuple[str, int]] = field(default_factory=list)
    n_test: int = N_TEST

    @classmethod
    def objects(cls, folder: Path, encoder: Any, n_train: int = N_TRAIN, n_test: int = N_TEST, **options: Any) -> Self:
        world = object_world(n_train, n_test, n_targets=2, seed=0)
        groups = {name: np.flatnonzero(world.roi == name) for name in ("what0", "where9", "whatwhere0")}
        groups["all"] = np.unique(np.concatenate(list(groups.values())))
        tokens, Y = world.tokens.astype(np.float32), world.responses.astype(np.float32)
        return cls(encoder, tokens, Y, world.grid, groups, folder, options, n_test=n_test)

    @property
    def split(self) -> tuple[np.ndarray, np.ndarray]:
        every = np.arange(len(self.Y))
        return every[: -self.n_test], every[-self.n_test :]

    def scaled(self, values: np.ndarray, maps: bool) -> np.ndarray:
        train, flat = self.split[0], values.reshape(len(values), -1).astype(np.float64)
        flat = flat - flat[train].mean(axis=0)
        sd = flat[train].std(axis=0)
        flat = flat if maps else flat * np.where(sd > 1e-6 * sd.max(), 1 / np.maximum(sd, 1e-30), 0)
        return (flat * np.sqrt(1000 / np.square(flat[train]).sum(axis=1).mean())).astype(np.float32)

    def study(self) -> encoding.TokenStudy:
        train, test = self.split
        rows = {"train": train, "test": test, "groups": self.groups, "ceiling": np.full(self.Y.shape[1], np.nan)}
        responses = responses_of(self.Y, [f"image{k}" for k in range(len(self.Y))])
        subject = encoding.ImageSubject(responses=responses, n_permutations=100, n_draws=100, **rows)
        known: dict[str, Any] = {"name": "mine", "encoder": self.encoder, "seeds": (0,), "baselines": ()}
        known |= {"targets": self.groups["all"], "regions": [name for name in self.groups if name != "all"]}
        known |= {"shown": list(self.groups), "checkpoint": self.folder}
        known["progress"] = lambda what, _, seed, __: self.epochs.append((what, seed))
        return encoding.TokenStudy(subject=subject, **known | self.options)

    def __call__(self, *layers: np.ndarray) -> tuple[dict[str, Any], trained.TokenFindings, pd.DataFrame]:
        """Return the evaluation of every layer, what else was found, and its tables as one."""
        findings = trained.TokenFindings()
        named = [(f"layer{k}", tokens, self.grid) for k, tokens in enumerate(layers or [self.tokens])]
        return dict(self.study().fits(named, findings)), findings, pd.concat(findings.tables, ignore_index=True)

    def reached(self, X: np.ndarray, ridge: encoding.Ridge, rows: np.ndarray) -> float:
        train, test = self.split
        predicted = ridge.fit(X[train], self.Y[train][:, self.groups["all"]]).predict(X[test])
        return float(pearson(self.Y[test][:, rows], predicted[:, np.searchsorted(self.groups["all"], rows)]).mean())


def stored(folder: Path, tokens: np.ndarray) -> StoredArray:
    """Put tokens into a file in another order, among rows that are not theirs."""
    rows = np.random.default_rng(0).permutation(len(tokens) + 7)[: len(tokens)]
    whole = np.full((len(tokens) + 7, *tokens.shape[1:]), np.inf, dtype=np.float32)
    whole[rows] = tokens
    whole.tofile(folder / "tokens.bin")
    return StoredArray(folder / "tokens.bin", 0, whole.shape, whole.dtype, rows)


@pytest.mark.parametrize("encoder", [
    encoding.RoutingEncoder("target", epochs=2, device="cpu"), encoding.GaussianReadout(epochs=2, device="cpu"),
])  # fmt: skip
def test_tokens_on_disk_are_as_tokens_in_memory(tmp_path: Path, encoder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    beside = ("tokens", "mean", "second_order", "factorized")
    case, other = (Case.objects(tmp_path / name, encoder, 80, 20, baselines=beside) for name in "ab")
    monkeypatch.setattr("brainalign.encoding.trained.token_study.MOST_CHANNELS", 9)  # of 12
    for seen, read in zip(case(case.tokens), other(stored(tmp_path, case.tokens)), strict=True):
        if isinstance(seen, pd.DataFrame):
            pd.testing.assert_frame_equal(read.drop(columns="seconds"), seen.drop(columns="seconds"))
        elif isinstance(seen, dict):
            np.testing.assert_allclose(read["layer0"].predicted, seen["layer0"].predicted, rtol=1e-6)
    # What was trained on one would be found again for the other: the name of a fit is of its numbers.
    names = [{path.name for path in (tmp_path / folder).iterdir()} for folder in "ab"]
    assert (names[0], len(names[0])) == (names[1], 3)


def test_a_fit_reads_a_few_tokens_at_a_time(tmp_path: Path, rng: np.random.Generator) -> None:
    tokens, Y = rng.normal(size=(4000, 64, 64)).astype(np.float32), rng.normal(size=(4000, 3)).astype(np.float32)
    on_disk = stored(tmp_path, tokens)
    for encoder in (encoding.RoutingEncoder("target", epochs=1), encoding.GaussianReadout(epochs=1)):
        fit = encoder.set_params(device="cpu").fit
        assert peak_bytes(lambda fit=fit: fit(on_disk, Y, grid=(8, 8)).predict(on_disk)) < tokens.nbytes / 2


def products(tokens: np.ndarray) -> np.ndarray:
    return np.einsum("npc,npd->ncd", tokens, tokens)[:, *np.triu_indices(tokens.shape[2])] / tokens.shape[1]


def test_products_of_channels(tmp_path: Path) -> None:
    """Ridge on the mean over tokens of x_c x_d, with a penalty per target and, with few images, one for all."""
    case = Case.objects(tmp_path, encoding.FactorizedReadout(epochs=1), baselines=("second_order",))
    table = case()[2].set_index(["encoder", "group"])
    names = ["ridge, products of channels", "ridge, products of channels, one penalty"]
    assert list(table.index.unique("encoder")) == ["mine", *names]
    X = case.scaled(products(case.tokens), maps=False)
    for name, ridge in {"": encoding.Ridge(), ", one penalty": encoding.Ridge(per_target_alpha=False)}.items():
        for group, rows in case.groups.items():
            found = table.loc[(f"ridge, products of channels{name}", group)]
            assert found["r"] == pytest.approx(case.reached(X, ridge, rows), abs=1e-4)
            assert found["n_parameters"] == (78 + 1) * len(case.groups["all"])
    what = "ridge, products of channels", "what0"
    narrow = table.loc[what, "r"]
    assert narrow > 0.3
    assert abs(table.loc[("ridge, products of channels", "where9"), "r"]) < 0.15
    # More channels than are taken: rotated copies of the same 12 give what these give. A rotation mixes products, and
    # z-scoring weighs the mixtures anew: the same information, not the same penalty.
    case.tokens = case.tokens @ np.linalg.qr(np.random.default_rng(0).normal(size=(80, 80)))[0][:12].astype(np.float32)
    table = case()[2].set_index(["encoder", "group"])
    assert table.loc["ridge, products of channels", "n_parameters"].iloc[0] == (64 * 65 // 2 + 1) * 6
    assert table.loc[what, "r"] == pytest.approx(narrow, abs=0.15)


@pytest.mark.parametrize(("n_train", "several"), [(500, True), (501, False)])
def test_one_penalty_for_all_targets_where_images_are_few(tmp_path: Path, n_train: int, several: bool) -> None:
    case = Case.objects(tmp_path, encoding.FactorizedReadout(epochs=1, batch_size=500), n_train, baselines=("mean",))
    names = case()[2]["encoder"].unique().tolist()
    assert names == ["mine", "ridge, mean token"] + ["ridge, mean token, one penalty"] * several


def test_other_read_outs_share_the_options(tmp_path: Path) -> None:
    encoder = encoding.FactorizedReadout(epochs=3, learning_rate=0.02, seed=4)
    case = Case.objects(tmp_path, encoder, baselines=("factorized", "gaussian"), seeds=(4,))
    table = case()[2].set_index(["encoder", "group"])
    assert list(table.index.unique("encoder")) == ["mine", "gaussian"]  # what was trained is not fitted twice
    train, test = case.split
    mine = encoding.GaussianReadout(epochs=3, learning_rate=0.02, seed=4)
    mine.fit(case.tokens[train], case.Y[train][:, case.groups["all"]], grid=case.grid)
    r = pearson(case.Y[test][:, case.groups["all"]], mine.predict(case.tokens[test])).mean()
    assert table.loc[("gaussian", "all"), "r"] == pytest.approx(r, abs=1e-5)
    assert table.loc[("gaussian", "all"), "n_parameters"] == mine.n_parameters_


def test_patience_of_an_encoder_without_schedule_is_that_of_a_constant_one(tmp_path: Path) -> None:
    """Routing has no schedule, and a read-out's own is a single cycle, which knows no patience."""
    case = Case.objects(tmp_path, encoding.RoutingEncoder(epochs=1, patience=1), baselines=("factorized", "gaussian"))
    assert list(case()[2]["encoder"].unique()) == ["mine", "factorized", "gaussian"]


def shifting(folder: Path, **options: Any) -> Case:
    world = shifting_fields(N_TRAIN, N_TEST, n_voxels=4, seed=0)
    groups = {"shifting": np.arange(2), "static": np.arange(2, 4), "all": np.arange(4)}
    known = {"semantics": world.semantics.astype(np.float32)} | options
    tokens, Y = world.tokens.astype(np.float32), world.responses.astype(np.float32)
    return Case(encoding.SemanticSpatialReadout(epochs=1, restarts=1), tokens, Y, world.grid, groups, folder, known)


def test_tokens_times_semantics(tmp_path: Path) -> None:
    """Ridge on [x, x z]: it gains where fields move; without semantics there is no such row."""
    case = shifting(tmp_path, baselines=("tokens", "interactions"))
    table, z = case()[2].set_index(["encoder", "group"]), case.options["semantics"]
    train = case.split[0]
    z, x = (z - z[train].mean(axis=0)) / z[train].std(axis=0), case.scaled(case.tokens, maps=True)
    both = np.concatenate([x, *(x * value[:, None] for value in z.T)], axis=1).astype(np.float32)
    found = table.loc[("ridge, tokens times semantics", "shifting")]
    assert found["n_parameters"] == (600 * 9 + 1) * 4
    assert found["r"] == pytest.approx(case.reached(both, encoding.Ridge(), case.groups["shifting"]), abs=1e-4)
    case = Case.objects(tmp_path, encoding.FactorizedReadout(epochs=1), baselines=("interactions",))
    assert case()[2]["encoder"].unique().tolist() == ["mine"]


def test_wide_interactions_are_bounded(tmp_path: Path, rng: np.random.Generator) -> None:
    """40 semantic values of rank 8, and tokens of more columns than are taken."""
    case = shifting(tmp_path, baselines=("interactions",))
    case.options["semantics"] = case.options["semantics"] @ rng.normal(size=(8, 40)).astype(np.float32)
    tables = [case(of)[2].set_index(["encoder", "group"]) for of in (case.tokens, stored(tmp_path, case.tokens))]
    found, read = (table.loc[("ridge, tokens times semantics", "static")] for table in tables)
    assert read["r"] == pytest.approx(found["r"], abs=1e-6)
    assert found["n_parameters"] == (10_000 // 17 * 17 + 1) * 4  # 588 projections of 600 columns, 16 components
    assert found["r"] > 0.3


def test_controls_lack_what_they_lack(tmp_path: Path) -> None:
    """Content alone cannot say where, place alone not what; keys make up for most of what frozen queries lack."""
    encoder = encoding.RoutingEncoder(epochs=15, validation=1 / 6)
    case = Case.objects(tmp_path, encoder, 1200, 300, controls=("frozen_queries", "content", "position"))
    r = case()[2].set_index(["encoder", "group"])["r"]
    assert r["mine, content keys", "what0"] > 0.6
    assert abs(r["mine, content keys", "where9"]) < 0.2
    assert r["mine, position keys", "where9"] > 0.6
    assert r["mine, position keys", "what0"] < 0.45
    for name in ("content keys", "position keys"):
        assert r["mine", "whatwhere0"] > r[f"mine, {name}", "whatwhere0"] + 0.05, name
    assert r["mine", "whatwhere0"] > r["mine, frozen queries", "whatwhere0"]


def test_frozen_queries_stay(tmp_path: Path) -> None:
    world, fits = object_world(80, 10, n_targets=1, seed=0), {}
    for epochs in (1, 3):
        encoder = encoding.RoutingEncoder(frozen_queries=True, epochs=epochs, seed=2)
        fits[epochs] = encoder.fit(world.tokens, world.responses, grid=world.grid, roi=world.roi)
    first, second = (fit.module_.queries.detach().numpy() for fit in fits.values())
    np.testing.assert_array_equal(first, second)
    learned = encoding.RoutingEncoder(epochs=3, seed=2)
    learned.fit(world.tokens, world.responses, grid=world.grid, roi=world.roi)
    assert not np.array_equal(learned.module_.queries.detach().numpy(), first)
    assert learned.n_parameters_ - fits[3].n_parameters_ == first.size
    fits[3].save(tmp_path)
    again = encoding.RoutingEncoder.load(tmp_path)
    assert again.n_parameters_ == fits[3].n_parameters_
    np.testing.assert_array_equal(again.predict(world.tokens), fits[3].predict(world.tokens))


def test_all_layers_and_seeds_as_one(tmp_path: Path) -> None:
    """The ensemble equals the weighted mean of the same networks, which are trained once; its weights sum to 1."""
    encoder = encoding.RoutingEncoder(epochs=4, validation=1 / 6, rest=True)
    case = Case.objects(tmp_path, encoder, ensemble=True, seeds=(0, 1))
    layers = (case.tokens, case.tokens[:, :, :6])
    found, findings, table = case(*layers)
    train, test = case.split
    targets = case.groups["all"]
    regions = ("what0", "where9", "whatwhere0")
    members = np.stack([np.isin(targets, case.groups[name]) for name in regions])
    rows = {"Y": case.Y[train][:, targets], "grid": case.grid, "roi": members}
    fits = [clone(encoder).set_params(seed=seed).fit(X[train], **rows) for X in layers for seed in (0, 1)]
    weights = ensemble_weights(np.stack([fit.validation_r_ for fit in fits]))
    predicted = [fit.predict(X) for fit, X in zip(fits, [X[test] for X in layers for _ in (0, 1)], strict=True)]
    expected = np.einsum("mt,mrt->rt", weights, np.stack(predicted))
    assert findings.stimuli == [f"image{row}" for row in test[: len(findings.stimuli)]]
    looked = fits[0].attention(layers[0][test][: len(findings.stimuli)])
    for query, name in enumerate(regions):
        row = findings.layers["layer0"]["regions"].index(name)
        np.testing.assert_allclose(findings.fields["layer0"][:, row], looked[:, query], atol=1e-4)
    np.testing.assert_allclose(findings.ensemble.predicted[:, targets], expected, atol=1e-4)
    np.testing.assert_allclose(findings.weights.groupby("group")["weight"].sum(), 1, rtol=1e-6)
    of_first = findings.weights.set_index(["group", "layer"])["weight"]["all", "layer0"]
    assert of_first == pytest.approx(weights[:2].sum(axis=0).mean(), abs=1e-5)
    assert len(case.epochs) == 4 * 2 * 2 * 2  # epochs, layers, seeds, and the refit control of each
    rows = table[table["layer"] == trained.ENSEMBLE].set_index(["encoder", "group"])
    assert list(rows.index.unique("encoder")) == ["mine, ensemble", "mine, layer0", "mine, layer1"]
    assert rows.loc[("mine, layer0", "all"), "r"] == pytest.approx(found["layer0"].group_r[-1], abs=1e-6)
    networks = [each for one in found.values() for each in one.encoder.encoders_]
    assert rows.loc[("mine, ensemble", "all"), "n_parameters"] == sum(each.n_parameters_ for each in networks)
    assert findings.ensemble.control_group_r is not None
    assert np.abs(findings.ensemble.group_null.mean()) < 0.05
    assert findings.ensemble.p[targets].max() <= 1


TOO_FEW = ({"what0": np.arange(2)} | EVERY, "4 of 6 targets are in no ROI")


@pytest.mark.parametrize(("groups", "message"), [(EVERY, "needs regions"), TOO_FEW])
def test_targets_without_regions(tmp_path: Path, groups: dict[str, np.ndarray], message: str) -> None:
    case = Case.objects(tmp_path, encoding.RoutingEncoder(epochs=1))
    case.Y, case.groups = case.Y[:, case.groups["all"]], groups
    refused(message, next, case.study().fits([("layer", case.tokens, case.grid)], trained.TokenFindings()))


def test_tokens_without_grid(tmp_path: Path) -> None:
    case = Case.objects(tmp_path, encoding.FactorizedReadout(epochs=1))
    for tokens, grid in ((case.tokens, None), (case.tokens[:, 0], (8, 8))):
        refused("layer 'last' has shape", next, case.study().fits([("last", tokens, grid)], trained.TokenFindings()))


def test_networks_of_other_features_are_not_taken_up(tmp_path: Path) -> None:
    """A folder with networks of 12 channels: features of 6 train their own; one asked to predict them refuses."""
    case = Case.objects(tmp_path, encoding.FactorizedReadout(epochs=1))
    case()
    n_first = len(case.epochs)
    case.tokens = case.tokens[:, :, :6]
    found = case()[0]["layer0"]
    assert len(case.epochs) == 2 * n_first
    refused("fitted on 64 tokens of 6", found.encoder.predict, np.zeros((2, 64, 12), dtype=np.float32))
