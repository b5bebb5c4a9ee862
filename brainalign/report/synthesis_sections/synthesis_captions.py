"""How to read the figures of synthesised images. Names in braces are filled in by synthesis_section.py."""

SYNTHESIS_CAPTIONS = {
    "gallery": """
        The first images of every condition; none was picked by hand. Unguided and guided images of a column come from
        the same noise (seed); the others are in the order of the guiding encoder. Under each: {scores}, in standard
        deviations over natural images{contrasts}.{invalid} Good: guided images show one thing, what it is can be said
        in a word, and all numbers rise together. Bad: textures and fragments, or a first number that rises alone.""",
    "pairs": """
        The same noise, first unguided, then guided for one region after the other: whatever differs between rows of a
        column, guidance did. Under each the change ({scores}). Good: rows differ in the feature they are guided for and
        keep the rest. Bad: rows that look alike, or images that fall apart.""",
    "specificity": """
        Rows: the region guided for; columns: the region that answers; the gain over unguided images of the same seeds,
        mean over {n} images. Good: the diagonal (bold) is the largest of its row. Bad: a column that gains in every row
        (a region that answers to anything guided, such as contrast), or a row that is flat. Regions that like the same
        things share gains: that is no failure.""",
    "gains": """
        Gains of guided images over each control, in standard deviations over natural images{contrasts} (validity: a
        share; typicality: a number up to 1), with {confidence} intervals over images; p is not corrected. Null
        encoders: fitted to shuffled responses; the gain is that over their mean, the interval that of single ones.
        Natural: those that the guiding encoder ranks highest. Matched: images with contrast and luminance of the
        unguided image of the same seed. Good: intervals above 0 in all rows and columns, also matched; natural images
        may win where the region's preferred stimulus is among them. Bad: gains of the guiding encoder alone.""",
    "means": """
        Typicality: the usual distance of natural images from their nearest neighbour over the image's own, in the
        features of the checking encoder; at most 1, which is a typical natural image, and .5 twice as far. A stand-in
        where nobody knows which images are valid: an image may be unusual and right. Contrast: standard deviation of
        grey values.""",
    "nulls": """
        Grey: the mean response to images of each encoder fitted to shuffled responses and used as a guide in the same
        way; blue: guided by the region's own encoder, the same seeds; line: unguided. p = (1 + number of null encoders
        as high) / (their number + 1). Good: blue above all grey points, grey around the line. Bad: blue among the grey
        ones: guidance by anything would have done.""",
    "sweep": """
        Images guided more and more strongly, on seeds that no other figure uses. Good: all responses rise together,
        then level off, and plausibility stays. Bad: the guiding encoder goes on rising while another judge turns or
        plausibility drops: from there on guidance finds the encoder's blind spots.""",
    "trace": """
        Means over the images of a region, at every step. Good: the score rises most in the first half, gradients stay
        finite, and the share of steps cut to the trust radius falls. Bad: all steps cut to the end (the scale says
        nothing any more; the radius alone decides), or gradients of 0 (the encoder is blind to the image).""",
    "failures": """
        Of the half of each region's guided images that the guiding encoder likes best, those another judge likes
        least. Under each: {scores}.{invalid} They are shown because a gallery hides them. Good: still images of the
        world, less fit than others. Bad: images without a thing, which the guiding encoder likes all the same.""",
}
