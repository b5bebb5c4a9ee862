"""How alike two pictures are, pixel by pixel: correlation, and structural similarity."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from brainalign.arrays import Values
from brainalign.checks import BrainalignError, check_finite

Floats = NDArray[np.float64]

GREY = (0.2125, 0.7154, 0.0721)  # luminance of red, green and blue (ITU-R BT.709), as scikit-image takes it
SIGMA, REACH = 1.5, 5  # of the window: standard deviation and half width in pixels
K1, K2 = 0.01, 0.03
CHUNK = 2**23  # pixels at once


def check_images(name: str, images: Values) -> Values:
    """Return images as an array of floats, of the precision they have.

    Raises
    ------
    BrainalignError
        If they are not (n, 3, H, W), hold NaN, or leave [0, 1].
    """
    values = np.asarray(images)
    if not np.issubdtype(values.dtype, np.floating):
        raise BrainalignError(f"{name} must be floats in [0, 1]; got {values.dtype}; divide uint8 by 255")
    if values.ndim != 4 or values.shape[1] != 3 or not len(values):
        raise BrainalignError(
            f"{name} must be colour images (n, 3, H, W); got the shape {values.shape}; "
            "transpose images that have colours last, and repeat grey ones three times"
        )
    check_finite(name, values, "no score can be given for a picture with holes")
    if values.min() < 0 or values.max() > 1:
        raise BrainalignError(f"{name} must lie in [0, 1]; got {values.min():.3g} to {values.max():.3g}")
    return values


def unit_rows(values: Values) -> Values:
    """Return centred rows of length 1, whose products are correlations; a constant row becomes 0.

    Parameters
    ----------
    values : array (n, ...)
    """
    rows = np.asarray(values).reshape(len(values), -1)
    largest = np.abs(rows).max(axis=1, keepdims=True)
    rows = rows - rows.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(rows, axis=1, keepdims=True)
    # What rounding leaves of a constant row is no pattern.
    least = 10 * np.finfo(rows.dtype).eps * largest * np.sqrt(rows.shape[1])
    return np.asarray(rows / np.where(norm > least, norm, np.inf), dtype=rows.dtype)


def pixel_correlations(a: Values, b: Values) -> Values:
    """Return the correlation over all pixels and colours of every image with every other (PixCorr), (n_a, n_b).

    Parameters
    ----------
    a, b : array (n, 3, H, W), in [0, 1]
        A constant image correlates 0 with everything.
    """
    return np.asarray(unit_rows(a) @ unit_rows(b).T)


def structural_similarity(a: Values, b: Values) -> Floats:
    """Return the structural similarity of grey images, pair by pair: Gaussian window of sd 1.5, as scikit-image.

    SSIM = (2 μa μb + c1)(2 σab + c2) / ((μa² + μb² + c1)(σa² + σb² + c2)), averaged over windows that lie inside.

    Parameters
    ----------
    a, b : array (n, 3, H, W), in [0, 1]
        At least 11 pixels per side.

    Returns
    -------
    array (n,)

    References
    ----------
    Wang Z, Bovik AC, Sheikh HR, Simoncelli EP (2004). Image quality assessment: from error visibility to structural
    similarity. IEEE Transactions on Image Processing 13:600-612. doi:10.1109/TIP.2003.819861
    """
    least = 2 * REACH + 1
    if a.shape != b.shape or min(a.shape[2:]) < least:
        raise BrainalignError(
            f"structural similarity needs two sets of the same shape, {least} pixels per side or more; "
            f"got {a.shape} and {b.shape}"
        )
    step = max(1, CHUNK // (a.shape[2] * a.shape[3]))
    parts = [_similarity(a[k : k + step], b[k : k + step]) for k in range(0, len(a), step)]
    return np.concatenate(parts)


def _similarity(a: Values, b: Values) -> Floats:
    from scipy.ndimage import gaussian_filter

    # In float64: variances are differences of nearly equal numbers.
    x, y = (np.einsum("nchw,c->nhw", images, np.array(GREY), dtype=np.float64) for images in (a, b))

    def blur(values: Floats) -> Floats:
        blurred = gaussian_filter(values, (0, SIGMA, SIGMA), truncate=REACH / SIGMA, mode="reflect")
        return np.asarray(blurred[:, REACH:-REACH, REACH:-REACH])

    mean_x, mean_y = blur(x), blur(y)
    var_x, var_y = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2
    covariance = blur(x * y) - mean_x * mean_y
    numerator = (2 * mean_x * mean_y + K1**2) * (2 * covariance + K2**2)
    denominator = (mean_x**2 + mean_y**2 + K1**2) * (var_x + var_y + K2**2)
    return np.asarray((numerator / denominator).mean(axis=(1, 2)))
