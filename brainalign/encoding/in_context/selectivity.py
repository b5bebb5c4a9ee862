"""Which words a voxel prefers: linear weights over image features, queried with text of a shared image-text space."""

from __future__ import annotations

from brainalign.checks import BrainalignError
from brainalign.encoding.in_context.inputs import check_features
from brainalign.regression import Array, as_tensor, same_kind_as


def text_selectivity(coef: Array, text: Array, reference: Array | None = None) -> Array:
    """Compute each text's shift of each voxel's response from that to the average image.

    Text and image embeddings of a shared space lie apart (the modality gap), so each is taken about its own mean. A
    text moved into the cloud of images is x̄ + (t − t̄); the difference of its predicted response from that of x̄ is
    (t − t̄) · w: the mean image and the intercept cancel and need not be given.

    Parameters
    ----------
    coef : array (n_features, n_targets)
        Of an encoder fitted on image embeddings.
    text : array (n_texts, n_features)
        Embeddings by the same model's text tower, normalised as the images were.
    reference : array (n_reference, n_features), optional
        Texts whose mean is t̄, such as captions of the images; otherwise the queries themselves, two or more.

    Returns
    -------
    array (n_texts, n_targets)
        In the units of the responses.

    Raises
    ------
    BrainalignError
        If widths differ, or a single text has nothing to be compared with.

    References
    ----------
    Liang W, et al. (2022). Mind the gap: understanding the modality gap in multi-modal contrastive representation
    learning. NeurIPS. arXiv:2203.02053
    """
    n_features = coef.shape[0]
    check_features("text", text, n_features, "encoder")
    centre = text if reference is None else reference
    check_features("reference", centre, n_features, "encoder")
    if reference is None and len(text) < 2:
        raise BrainalignError("one text without reference texts has no mean to differ from; give reference")
    weights = as_tensor(coef).double()
    queries = as_tensor(text).to(weights) - as_tensor(centre).to(weights).mean(dim=0)
    return same_kind_as(text)((queries @ weights).to(as_tensor(coef).dtype))
