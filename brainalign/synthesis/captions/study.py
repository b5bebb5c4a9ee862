"""Captions of the voxels of one subject: fitted on training images, scored on test images, beside every control."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import check_shape, generator
from brainalign.statistics import bootstrap_correlations, fdr, interval_widening, pearson, permuted_correlations
from brainalign.synthesis.captions import captioners
from brainalign.synthesis.captions.scores import attribute_evidence, caption_scores, temperature_curve

if TYPE_CHECKING:
    from brainalign.regression import Ridge

# What stands beside the captions: given to other voxels, the commonest for all, limits of the temperature, no relation,
# and without an encoder the values that responses to training images follow best (a vocabulary is read so itself).
CONTROLS = ("permuted", "frequent", "bankmean", "nearest", "shuffled", "followed")
N_ORDERS = 20  # of captions over voxels, whose intervals are averaged

Regions = Mapping[str, NDArray[np.intp]]


@dataclass(frozen=True)
class VoxelCaptions:
    """Tables of `CaptionStudy`.

    Attributes
    ----------
    captions : DataFrame (n_voxels)
        caption, and for every attribute its value, the value's share of bank mass, p and q; r of the encoder, of the
        caption and of controls; p and q of the caption's r.
    scores : DataFrame
        region, of (encoder, caption, a control), r (mean over voxels with a caption), low, high, gain (of the caption
        over it), gain_low, gain_high, n (voxels).
    temperatures : DataFrame
        temperature, score, se, n_captions, chosen; empty where the temperature is fixed or there is none.
    temperature : float or None
        None of a vocabulary, whose phrases are those that responses follow best.
    """

    captions: pd.DataFrame
    scores: pd.DataFrame
    temperatures: pd.DataFrame
    temperature: float | None


@dataclass(frozen=True)
class CaptionStudy:
    """Fits, projects, names and scores.

    Parameters
    ----------
    ridge : Ridge
        Of responses on embeddings; fitted anew.
    captioner : callable
    labels : mapping of sequences (n_training_images)
        Of an `AttributeCaptioner`: the value of every attribute of the training images.
    temperature : float, optional
        Chosen among `temperatures` on validation images where not given. A vocabulary does without: its phrases are
        those whose cosine training responses follow best, and the bank is of controls alone.
    bank : array (n_bank, d), optional
        Training images where not given.
    """

    ridge: "Ridge"
    captioner: captioners.Captioner
    labels: Mapping[str, Sequence[str] | NDArray[np.str_]]
    temperatures: Sequence[float]
    temperature: float | None = None
    validation_share: float = 0.25
    bank: captioners.Bank | None = None
    n_nulls: int = 19
    q: float = 0.05
    n_permutations: int = 1000
    n_draws: int = 1000
    confidence: float = 0.95
    seed: int = 0

    def __call__(self, train: tuple[Values, Values], test: tuple[Values, Values], regions: Regions) -> VoxelCaptions:
        """Caption voxels, by region (voxel numbers).

        `train` and `test` are embeddings (n_images, d) of any length, and responses (n_images, n_voxels): averages over
        repeats, z-scored over training images.
        """
        embeddings, responses = train
        units, images = (np.asarray(part, dtype=np.float64) for part in (embeddings, test[0]))
        units, images = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in (units, images))
        bank = embeddings if self.bank is None else self.bank
        curve = pd.DataFrame(columns=["temperature", "score", "se", "n_captions", "chosen"])
        encoder = self.ridge.fit(units, responses)
        weights, alphas = np.asarray(encoder.coef_, dtype=np.float64), np.asarray(encoder.alpha_)
        predicted = {"encoder": np.asarray(encoder.predict(images))}
        rng = np.random.default_rng([self.seed, 0xCA9])
        captioner, temperature, table = self.captioner, self.temperature, pd.DataFrame(index=range(weights.shape[1]))
        if isinstance(captioner, captioners.VocabularyCaptioner):
            temperature = None
            captions = captioner.following(units, responses)
            shuffled = captioner.following(units, rng.permuted(responses, axis=0))
        else:
            if temperature is None:
                curve = self._curve(units, responses, bank)
                temperature = float(curve.loc[curve["chosen"], "temperature"].iloc[0])
            if isinstance(captioner, captioners.AttributeCaptioner):
                captions, shuffled, table = self._named((weights, alphas), (embeddings, responses), temperature, rng)
            else:
                (drawn,) = shuffled_weights(units, responses, alphas, 1, rng)
                captions, shuffled = (self._read(each, bank, temperature) for each in (weights, drawn))
        table.insert(0, "caption", captions.texts)
        predicted["caption"] = images @ captions.embeddings.T
        scores = caption_scores(captions, images, test[1], seed=self.seed)
        spoken: NDArray[np.bool_] = np.asarray(np.isfinite(captions.embeddings).all(axis=1))
        predicted["frequent"] = np.where(spoken, scores.frequent[:, None], np.nan)
        others = {"bankmean": self._read(weights, bank, 0.0), "nearest": self._read(weights, bank, np.inf)}
        others["shuffled"] = shuffled
        if isinstance(captioner, captioners.AttributeCaptioner):
            others["followed"] = captioner.following(units, responses)
        for name, other in others.items():
            predicted[name] = np.where(spoken, images @ self._as_silent_as(captions, other).embeddings.T, np.nan)
        table["encoder_r"] = pearson(predicted["encoder"], test[1])
        table["r"], table["permuted_r"] = scores.r, scores.permuted_r
        for name in ("frequent", *others):
            table[f"{name}_r"] = pearson(predicted[name], test[1])
        table["p"], table["q"] = np.nan, np.nan
        if spoken.any():
            asked = predicted["caption"][:, spoken], test[1][:, spoken], self.n_permutations, [self.seed, 0x9E4]
            table.loc[spoken, "p"] = permuted_correlations(*asked, sequential=True).p
            table.loc[spoken, "q"] = fdr(table.loc[spoken, "p"].to_numpy())
        return VoxelCaptions(table, self._scores(predicted, test[1], regions, spoken), curve, temperature)

    def _curve(self, units: Values, responses: Values, bank: captioners.Bank) -> pd.DataFrame:
        order = np.random.default_rng([self.seed, 0x7A1]).permutation(len(units))
        n = max(2, round(self.validation_share * len(units)))
        held, fitted = order[:n], order[n:]
        weights = np.asarray(self.ridge.fit(units[fitted], responses[fitted]).coef_, dtype=np.float64)
        # The bank may hold the validation images: it says what images look like, not what voxels answer.
        tried = [0.0, *self.temperatures, np.inf]
        return temperature_curve(weights, bank, self.captioner, units[held], responses[held], tried)

    def _read(self, weights: Values, bank: captioners.Bank, temperature: float) -> captioners.Captions:
        return captioners.caption_targets(captioners.project_to_bank(weights, bank, temperature), self.captioner)

    def _named(
        self, encoder: tuple[Values, Values], train: tuple[Values, Values], temperature: float, rng: np.random.Generator
    ) -> tuple[captioners.Captions, captioners.Captions, pd.DataFrame]:
        """Return captions, those of the first exchange of images, and the evidence for attributes."""
        captioner = self.captioner
        assert isinstance(captioner, captioners.AttributeCaptioner)
        asked = (captioner, *train, encoder, self.labels, temperature)
        known = attribute_evidence(*asked, n_nulls=self.n_nulls, q=self.q, rng=rng)
        columns: dict[str, NDArray[Any]] = {}
        drawn: dict[str, NDArray[np.str_]] = {}
        for name, rows in known.groupby("attribute", sort=False):
            columns[str(name)], drawn[str(name)] = (rows[of].to_numpy(dtype=np.str_) for of in ("said", "shuffled"))
            columns |= {f"{name}_{part}": rows[part].to_numpy() for part in ("share", "prior", "p", "q")}
        said = captioner.said({name: columns[name] for name in captioner.vocabularies})
        return said, captioner.said(drawn), pd.DataFrame(columns)

    def _as_silent_as(self, captions: captioners.Captions, other: captioners.Captions) -> captioners.Captions:
        """Return other captions that say something of the same attributes: only what they say differs."""
        if not isinstance(self.captioner, captioners.AttributeCaptioner):
            return other
        values = {
            name: np.where(captions.values[name] == captioners.ANY, captioners.ANY, said).astype(np.str_)
            for name, said in other.values.items()
        }
        return self.captioner.said(values)

    def _scores(
        self, predicted: Mapping[str, Values], measured: Values, regions: Regions, spoken: NDArray[np.bool_]
    ) -> pd.DataFrame:
        """Compare means over the voxels of regions on resampled test images, the same ones for all.

        Percentiles are widened to Student's t: as they are, those of 12 images cover .90 instead of .95.
        """
        groups = [rows[spoken[rows]] for rows in regions.values()]
        kept = {name: np.nan_to_num(values) for name, values in predicted.items()}
        rng = np.random.default_rng([self.seed, 0x0D3])
        voxels = np.flatnonzero(spoken)

        def drawn(values: Values) -> tuple[Values, Values]:
            draws = bootstrap_correlations(values, measured, groups, n_draws=self.n_draws, seed=self.seed)
            r = pearson(values, measured)
            return np.array([np.nanmean(r[rows]) if len(rows) else np.nan for rows in groups]), draws

        found = {name: drawn(values) for name, values in kept.items()}
        mixed = []
        for _ in range(N_ORDERS):
            order = np.arange(len(spoken))
            order[voxels] = rng.permutation(voxels)
            mixed.append(drawn(kept["caption"][:, order]))
        found["permuted"] = np.mean([r for r, _ in mixed], axis=0), np.mean([draws for _, draws in mixed], axis=0)
        tails, rows = [(1 - self.confidence) / 2, (1 + self.confidence) / 2], []
        widening = interval_widening(np.inf, len(measured), self.confidence)
        best, best_draws = found["caption"]
        for k, region in enumerate(regions):
            for name in (of for of in ("encoder", "caption", *CONTROLS) if of in found):
                r, draws = found[name][0][k], found[name][1][:, k]
                gain = best[k] - r
                low, high = r + widening * (np.quantile(draws, tails) - r)
                gain_low, gain_high = gain + widening * (np.quantile(best_draws[:, k] - draws, tails) - gain)
                rows.append(
                    {"region": region, "of": name, "r": r, "low": max(low, -1), "high": min(high, 1)}
                    | {"gain": gain, "gain_low": gain_low, "gain_high": gain_high}
                    | {"n": len(groups[k]), "n_silent": len(regions[region]) - len(groups[k])}
                )
        return pd.DataFrame(rows)


def shuffled_weights(
    embeddings: Values, responses: Values, alphas: Values, n_shuffles: int, rng: np.random.Generator
) -> list[NDArray[np.float64]]:
    """Refit ridge regression to responses whose images are exchanged, for every voxel anew, with the penalties it had.

    A penalty chosen for shuffled responses would be so large that any noise beats them; and one order for all voxels
    would repeat one accident in all of them. Each of `n_shuffles` arrays is (d, n_voxels): embeddings are (n_images,
    d), and alphas (n_voxels,) those of ‖y − Xw‖² + alpha ‖w‖², columns centred.
    """
    remedy = "give a row per image and a penalty per voxel"
    check_shape("responses", responses.shape, (len(embeddings), len(alphas)), "embeddings and penalties are", remedy)
    centred = np.asarray(embeddings - embeddings.mean(axis=0), dtype=np.float64)
    left, sizes, right = np.linalg.svd(centred, full_matrices=False)
    shrunk = sizes[:, None] / (sizes[:, None] ** 2 + np.asarray(alphas)[None])  # (rank, n_voxels)
    found, rng = [], generator(rng)
    for _ in range(n_shuffles):
        mixed = rng.permuted(responses, axis=0)
        found.append(np.asarray(right.T @ (shrunk * (left.T @ (mixed - mixed.mean(axis=0))))))
    return found
