"""How to read each figure: what is drawn, what good and bad look like. Names in braces are filled in by sections.py."""

__all__ = ["CAPTIONS"]

CAPTIONS = {
    "splits": """
        Rows are folds, columns what is kept together; dark cells are tested, light ones trained on. Good: every
        column is tested, and no cell is both. A leak would stop the run before anything is fitted.""",
    "identification": """
        Share of held-out blocks whose category is found by the best-correlating prediction. Points: mean over runs
        with a {confidence:.0%} interval over runs (for spaces of several layers, mean and range over layers). Grey
        dashes: mean of the permutations. Dotted: chance. Diamond: a linear classifier of the responses, without
        any feature space. Good: points well above dashes, and dashes on chance. Spaces without meaning (onehot,
        random) beside the others show what meaning adds: here nothing can be added, because every category is
        trained on.""",
    "confusion": """
        How often a shown category (row) was identified as each category (column); rows sum to 1. Good: a dark
        diagonal. Off-diagonal blocks show which categories the voxels confuse.""",
    "null": """
        Identification when categories are permuted within runs and everything is refitted. Good: the null is
        centred on chance (here its mean is {mean:.3f}, standard error {error:.3f}) and the observed value lies
        outside it. A null off chance by several standard errors would mean a leak.""",
    "scoremap": """
        Pearson r of measured and predicted responses in held-out runs, {model} with {method}, split {split}. Red:
        predicted better than by chance; blue: worse, which noise produces as often as red. Good: contiguous red
        patches. Drawn on the mean functional image; {space}.""",
    "significance": """
        The same r where q < {q:g} (false discovery rate, {n_fdr} voxels); outlined: p < .05 after correction by
        the maximum over all voxels ({n_fwer} voxels). Good: outlined voxels lie in the red patches of the map
        above. Drawn on the mean functional image; {space}.""",
    "ceilingmap": """
        Share of the variance of a single block that repeats over runs: what a perfect model of the stimuli could
        explain. Voxels at or below 0 are left out. Good: high where the score map is high. A score high where the
        ceiling is low would be suspicious.""",
    "ceilinghistogram": """
        Distribution over voxels, not clamped: without any signal the estimator scatters around 0. Normalised
        scores are averaged over the {n_reliable} voxels right of the threshold, which was fixed beforehand.""",
    "scoreceiling": """
        Each point is a voxel (with many voxels, colour is their number). On the dashed line a voxel is predicted
        as well as its noise allows; points above it are estimation error of score and ceiling, shown and never
        clipped. Good: a cloud along the line; a cloud far below it leaves room for a better model.""",
    "alphas": """
        Penalty chosen inside the training runs (median over folds). Good: a hill inside the grid. Voxels without
        signal pile up at the largest penalty, which predicts their mean: that edge is no fault of the grid; many
        voxels at the smallest penalty would call for a wider one.""",
    "zeroshot": """
        Share of left-out pairs of categories whose predicted patterns match the right measured ones. Grey: the
        same after permuting which features belong to which category; ticks: random spaces; dots: single wordings;
        line: the mean embedding. Good: the line lies right of the dashed 95 % point, and so do most wordings. The
        null is wide because so few categories make few independent pairs. {control} Single wordings: {wordings}.""",
    "rdm": """
        Dark: alike; light: different; each matrix on its own scale. Crossnobis is unbiased (0 means no difference,
        and noise can make it negative); the others are positive even for noise. Good: the same blocks in responses
        and features.""",
    "mds": """
        Classical scaling of the response RDM into the plane: near means alike. Two dimensions cannot hold all
        distances; read it together with the matrix.""",
    "rsa": """
        Bars: comparison of each space's RDM with the RDMs of disjoint pairs of runs, averaged; lines:
        {confidence:.0%} interval over them (measurement noise only); dots: layers of spaces with several; dotted:
        mean over permuted categories, which for cosine is not 0; p: permutations of the categories. Grey band:
        where the true model would lie. Good: a bar above its dotted line and near the band. {untested}""",
}
