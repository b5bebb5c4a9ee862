"""How to read each figure: what is drawn, what good and bad look like. Names in braces are filled in by sections.py."""

CAPTIONS = {
    "ranking": """
        Points: {measure}, with {confidence:.0%} intervals. Grey points: controls. Grey ticks: chance. {more}""",
    "rankingofgroup": """
        Mean over subjects with its standard error. Grey: controls.""",
    "followed": """
        How well neurons are predicted over time, conditions never trained on; 1 (dotted) is what their repeats allow.
        Filled: models, whose hidden frames are simulated. Hollow: controls: the same dynamics untrained, the last
        features held, their last change continued, the encoder looking at what is hidden, time alone. Grey bars: what
        95 % of fits to exchanged conditions stay below. Lines: interval over folds. Good: where frames are hidden, a
        model far above every control. Where frames are shown, models of one network must be equal.""",
    "followedtable": """
        Every model and control in every region. Neurons are dropped where their repeats agree too little.""",
    "movies": """
        At every frame, whether conditions that are alike for a model are alike for the neurons (distances of neurons
        cross-validated over repeats). Shaded: share of conditions hidden at that frame. Good: a model whose curve stays
        up when the shading begins, while the controls (grey) fall. Thin black line: largest 95 % of exchanged
        conditions.""",
    "alignment": """
        How often each network's most similar pair leaves the object that people chose as the odd one, on triplets of
        objects that no network saw in training, by how many groups a triplet is of. Orange: as it is; blue: aligned,
        with the 95 % interval of its gain over objects. Crosses: controls, which learned from shuffled choices or from
        a teacher that was not aligned. Dotted: chance; grey band: ceiling. Good: blue right of orange with controls on
        orange, and no loss of fine distinctions. Bad: controls that gain as much.""",
    "spacedirections": """
        How often the image is the first (top-1) or among the first five (top-5) found. Rows ask, columns are looked
        in. Left: the joint space; right: ridge fitted to every subject alone. Good: numbers above chance without
        "n.s.". A joint space no better than ridge is no better than ridge.""",
    "spacewithin": """
        Points: the image vector found from a single subject's averaged repeats, or from all modalities and subjects
        fused, with intervals over subjects and images. Grey band: 95 % of exchanged images. Crosses: nulls (shuffled
        pairs, noise). Dotted: chance. Good: points above the band, crosses inside it. Bad: a cross above the band means
        that something besides the pairing of recordings and images is used.""",
    "spacerepeats": """
        The image found from single subjects after averaging so many repeats; bars: standard deviation over random
        choices of them. Dashed: averages of as many other repeats found by these, where there are enough; noise enters
        twice, so that clean image vectors may be found more often. Good: curves that rise; where they still rise at the
        end, more repeats would help.""",
    "spacegeometry": """
        Dissimilarities (1 − correlation) between mean embeddings of the test images compared with those between their
        image vectors. Black lines: 95 % of exchanged images. Good: bars above the lines, fused above single
        modalities, both well above what is learned from shuffled pairs.""",
    "filled": """
        Share of the variance of hidden regions that is explained, in subjects not trained on; bars: their interval.
        Blue: the masked model; orange: Gaussians, the linear predictors; grey: the model trained on series in which
        there is nothing to find; light blue: ablations. Good: blue right of the instantaneous Gaussian, grey on 0.
        Permuted frames keep what regions share at a moment, so only whole networks are a null there. Bad: grey right
        of 0.""",
    "filledby": """
        The same, for the regions of one network each. Good: bars of like height, blue near the best of the others.
        Bad: a network that only linear predictors fill in.""",
    "filledtraces": """
        Hidden regions drawn at random, without a look at how well they are filled in. Black: as measured. Good:
        coloured lines follow the slow course of the black one, with less amplitude, since what is a region's own
        cannot be known. Bad: flat lines, or courses that go against it.""",
    "regionmap": """
        Every dot is a region, in the colour of its network, on the first two principal axes of its learned embedding.
        Good: dots of one colour lie together, as far as two axes can show. Bad: colours mixed, with an adjusted Rand
        index near chance in the table.""",
    "personscores": """
        How well labels of people are predicted in held-out subjects, from each kind of features; bars: interval over
        subjects. Grey: up to the largest of permuted labels. Good: right of grey. Latent connectivity left of
        correlation: the model lost something on the way.""",
    "conceptchoices": """
        How often the most similar pair of a triplet leaves the object that was chosen as the odd one, with 95 %
        intervals over choices. Dotted: a guess among three. Grey band: the ceiling, between its lower and upper bound,
        from the triplets judged several times. Good: embeddings near the band, above the similarities that are counted
        without training; those fitted to shuffled choices on chance. Bad: a control above chance would mean
        that held-out triplets leaked.""",
    "conceptdimensions": """
        |r| of each dimension with its partner in other starts, on objects that did not choose the partner. Dashed:
        {least:g}, above which a dimension counts as found again (blue). Good: most are. Bad: many grey ones; then the
        penalty is too weak or the judgements are too few, and names given to such dimensions mean nothing.""",
    "conceptnetworks": """
        A row per layer. Left: features as they are (cosine); right: dimensions read out of the features, on triplets of
        objects that neither the embedding nor the regression has seen, mean and standard deviation over splits. Pale
        bars: 95 % of permuted objects. Dotted: chance; grey band: ceiling. Good: points beyond the pale bars. What is
        gained from left to right was there in the features with the wrong weights.""",
    "conceptreadouts": """
        Held-out R² of each dimension (column) predicted from each layer (row), objects held out. White dots: not above
        95 % of permuted objects; of cells without any relation one in twenty has no dot. Good: bright cells; dark
        columns are dimensions that no layer holds.""",
    "conceptregions": """
        Bars: Spearman's r of a region's dissimilarities with those of the embedding. Grey: 95 % of permuted objects.
        Orange: what the true model would reach given how much subjects agree, where there are several. Good: bars
        above the grey and near the orange.""",
    "decodedwindows": """
        Trials told apart from all samples of a window together, trials of other recordings (or stimuli) used for
        training. Lines: interval over recordings, where there are enough. Grey: what 95 % of permuted labels stay
        below. Good: filled points (after the stimulus) above the grey, hollow ones (before it, a control) on chance.
        A control above chance would mean that something besides the response tells the categories apart.""",
    "decodedcourse": """
        Trained and tested anew at every moment. Grey: 95 % of permuted labels. Bars at the bottom: significant clusters
        (their borders carry no guarantee). Marks on top: latencies with intervals of the first hump (or of the
        window asked for) and of the highest one, where they are decided.
        Good: the curve lies in the grey before the stimulus.""",
    "decodedsquare": """
        What was learned at one moment (row), tested at another (column); outlined: significant clusters. A square off
        the diagonal is a code that lasts; a narrow diagonal is one that moves on. Blue: the code reverses.""",
    "decodedheads": """
        The effect of the category on each sensor by itself, over all trials; white dots: in a significant cluster over
        sensors and time.""",
    "decodedsensors": """
        The effect of the category on each sensor by itself, over all trials; thick: in a significant cluster over
        sensors and time. Too few sensors for a topography.""",
    "decodedpairs": """
        Area under the curve of every pair of conditions: a dissimilarity matrix per moment, without any distance. .5 is
        chance. Good: on chance before the stimulus.""",
    "textcontrols": """
        Rows: what the decoder was trained on; columns: what it was tested on. * p ≤ .01 by exchanges of different
        sentences. Good: only the first cell is far above chance. Outlined: above chance without a brain signal in
        training or test, so that the score is not the brain's. EEG with random phases or played backwards may stay
        above chance: then power, length or symmetric waves are used.""",
    "textranks": """
        Share of test trials whose sentence is among the k most similar, first seed. Good: far above the dotted line
        of chance at small k.""",
    "textaveraged": """
        Top-1 after averaging what is decoded from several subjects who read the same sentence, or repeats within
        subjects; bars: standard deviation over random choices. Dashed: means of one half retrieve means of the other
        half, from as many each. Both sides of that are noisy, so it may lie below the score, whose gallery is not.""",
    "textsubjects": """
        Top-1 of every subject, a point per seed. Good: all subjects above chance, and seeds close together.""",
    "textlabels": """
        The label whose wordings are nearest to the decoded vector; rows are true labels and sum to 1. The ceiling does
        the same with the vector of the true text.""",
    "textrelevance": """
        Fall of the similarity of decoded and true vectors when a channel, in a stretch of time around the moment given,
        is exchanged with that of other trials of the subject. It says what this decoder uses, not where the brain holds
        meaning: what neighbours repeat is not missed.""",
    "splits": """
        Rows are folds, columns what is kept together; dark cells are tested, light ones trained on. Good: every
        column is tested, and no cell is both. A leak would stop the run before anything is fitted.""",
    "identification": """
        Share of held-out {items} whose {stimulus} is found by the best-correlating prediction. Points: mean over runs
        with a {confidence:.0%} interval over runs (for spaces of several layers, mean and range over layers). Grey
        dashes: mean of the permutations. Dotted: chance. {classifier}Good: points well above dashes, and dashes on
        chance. Spaces without meaning (onehot, random) beside the others show what meaning adds{meaning}""",
    "confusion": """
        How often a shown {stimulus} (row) was identified as each {stimulus} (column); rows sum to 1. Good: a dark
        diagonal. Off-diagonal blocks show which {stimuli} the {targets} confuse.""",
    "null": """
        Identification when {stimuli} are permuted within runs and everything is refitted. Good: the null is
        centred on chance (here its mean is {mean:.3f}, standard error {error:.3f}) and the observed value lies
        outside it. A null off chance by several standard errors would mean a leak.""",
    "scoremap": """
        Pearson r of measured and predicted responses in held-out runs, {model} with {method}, split {split}. Red:
        predicted better than by chance; blue: worse, which noise produces as often as red. Good: contiguous red
        patches. {where}""",
    "targetmap": """
        Pearson r of measured and predicted responses {tested}, {name}. Red: predicted better than by chance; blue:
        worse, which noise produces as often as red. Outlined: q < {q:g} (false discovery rate, {n:,} of them). Good:
        contiguous red patches with the outlined ones inside. {where}""",
    "glassbrain": """
        The score map above in a head of MNI152, seen through: where several targets lie behind each other, the largest
        is seen. Shown are {shown}.""",
    "projection": """
        The same values on the flattened cortex of fsaverage5: at each vertex those of the voxels between white matter
        and pial surface. MNI152 and fsaverage agree within some millimetres, so a voxel may lie on the wrong side of a
        sulcus. Grey: no voxel with a value.""",
    "scorehistogram": """
        Pearson r of measured and predicted responses {tested}, {name}, over all {targets}; no map is drawn, because
        {why}. Blue: q < {q:g} (false discovery rate, {n:,} of them). Noise scatters
        around 0. Good: blue far right of the grey. Bad: everything around 0.""",
    "significance": """
        The same r where q < {q:g} (false discovery rate, {n_fdr} {targets}); outlined: p < .05 after correction by
        the maximum over all {targets} ({n_fwer} {targets}). Good: outlined voxels lie in the red patches of the map
        above. {where}""",
    "ceilingmap": """
        Share of the variance of {repeats}: what a perfect model of the stimuli could explain.
        {Targets} at or below 0 are left out. Good: high where the score map is high. A score high where the ceiling is
        low would be suspicious.""",
    "ceilinghistogram": """
        Distribution over targets, not clamped: without any signal the estimator scatters around 0. Normalised
        scores are averaged over the {n_reliable} targets right of the threshold, which was fixed beforehand.""",
    "scoreceiling": """
        Each point is a target (with many, colour is their number). On the dashed line a target is predicted
        as well as its noise allows. Triangles are reliable targets above it, whose normalised score exceeds 1:
        estimation error of score and ceiling, shown, counted in the legend and never clipped. Good: a cloud along the
        line; a cloud far below it leaves room for a better model. Bad: many triangles: the ceilings are too low.""",
    "alphas": """
        Penalty chosen inside the training runs (median over folds). Good: a hill inside the grid. {Targets} without
        signal pile up at the largest penalty, which predicts their mean: that edge is no fault of the grid; many
        {targets} at the smallest penalty would call for a wider one.""",
    "zeroshot": """
        Share of left-out pairs of {stimuli} whose predicted patterns match the right measured ones. Grey: the
        same after permuting which features belong to which {stimulus}; ticks: random spaces; {dots}line: {line}.
        Good: the line lies right of the dashed 95 % point, and so do most single wordings where there are any. The
        null is wide because so few {stimuli} make few independent pairs. {control} {wordings}""",
    "blocklayers": """
        Every score over the layers of the networks, from the first to the last; dotted: chance; grey dashes: mean of
        the permutations; grey dashed lines: random weights. {meaning}""",
    "captiontemperature": """
        How well captions predict validation images, mean r over voxels with twice its standard error, by temperature of
        the softmax over the bank. Orange: the one used. Crosses: the limits, the mean of the bank (0, one caption for
        all voxels) and the nearest image (infinity), which are controls. Good: the chosen one above both.""",
    "captionscores": """
        Mean r over the voxels that have a caption, with {confidence:.0%} intervals over resampled test images. Blue:
        the encoder, and the caption. Grey: controls: captions given to other voxels, the most frequent caption given to
        all, the limits of the temperature, and captions of encoders fitted to exchanged images. Good: the caption right
        of every grey point. Where the most frequent caption does as well, voxels of the region prefer the same
        thing; nearest as good says that averaging over the bank adds nothing.""",
    "captionnouns": """
        Share of a region's voxels whose caption holds a word. Good: regions differ. Where all look alike, captions
        say what the bank shows, not what regions prefer.""",
    "captionmap": """
        What captions say of {attribute}; grey: reliable voxels about which nothing is said (not above encoders of
        exchanged images, false discovery rate {q:g}). Good: regions of a colour.""",
    "directionstrips": """
        A row is one seed, a column a strength: the middle block of the diffusion model is moved by so many
        standard deviations along a direction while the image forms. Good: what the region prefers comes or
        goes, and the rest of the image stays. Bad: the whole image changes, or nothing does. The middle column
        is the unedited image.""",
    "directioncurves": """
        Mean response of each region to the images along its own direction, with 95 % intervals over seeds; of
        one region against another (a-b) the difference of their standard scores. Grey: directions of chance, at
        least as long, at both ends, through their mean; dotted: of shuffled responses. Good: {judge} rises at
        every step and grey lines stay flat. Bad: only the guiding encoder rises.""",
    "directioncosines": """
        Cosine of each region's direction (row) with the directions of all (column); right: after what the
        others span was taken out. Near 1 or -1: the diffusion model holds two preferences on one axis, and
        moving one moves the other.""",
    "directionsfree": """
        Directions that no region was asked for: principal components of many images' trajectories (pca) or what
        changes one image most (jacobian). They show what the diffusion model can vary.""",
    "groundedretrieval": """
        How often the caption of a held-out image finds it first, or among the first 5 or 10, among all held-out images
        whose captions hold other words; 95 % intervals over captions. Dotted: chance; grey: captions exchanged between
        images. Good: grounded words far above both, the cross (the same network, trained on shuffled images) on
        chance. Squares: a linear map from the mean place of an image to the text vectors, which the network has to
        beat to be worth its parameters.""",
    "groundedaxes": """
        Words on the two directions along which the grounded space varies most. Good: words that look alike lie
        together, and ends of an axis are words one can name. An axis whose label has a name correlates with it beyond
        words exchanged (false discovery rate .05); without one, what the ends have in common is for you to judge. With
        few words, little can be shown.""",
    "groundedplaces": """
        Where words (rows) look in held-out images (columns); bright: most, each map on its own scale. The words are
        from the captions of these images, not chosen, and each is looked for in all of them. Good: names of things
        light up the thing, in every image that has it. Bad: corners or one place bright in all images, which says that
        the features carry the word everywhere. Words of places, sizes or grounds need not be anywhere.""",
    "groundedregions": """
        Ridge regression of each region on the mean vector of a caption's words, same held-out images. Points: mean r
        over the targets of a region, with {confidence:.0%} intervals over resampled images; dashed: noise ceiling (r);
        grey: images exchanged. Good: grounded words above text vectors and above words grounded in shuffled images
        where a region cares for looks. Where all lie together, it matters which words a caption holds, not in which
        space they lie; words alone (one column per word) shows what that is worth.""",
    "searchlight": """
        Fit ({comparison}) of the model's geometry to that of the voxels or vertices around every centre, within
        {around}; {distance} distances. Drawn is the layer with the largest fit anywhere. Red: stimuli that are alike
        for the model are alike there. A fit above {threshold:.2f} is above chance (p < {level:g}, corrected over
        centres and layers). Good: contiguous patches, since neighbours share voxels, with a core above that value.
        Bad: red and blue patches of the same size and strength, which smooth noise gives.""",
    "searchlightabove": """
        The same fit where it exceeds chance (p < {level:g}, corrected by the largest fit over centres and layers):
        {n:,} centres. A centre stands for its whole neighbourhood: what makes it fit can lie anywhere within it.""",
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
        mean over permuted {stimuli}, which for cosine is not 0; p: permutations of the {stimuli}. Grey band:
        where the true model would lie. Good: a bar above its dotted line and near the band. {untested}""",
    "surface": """
        The cortex of fsaverage5, inflated; turn it with the mouse or a finger, choose map and view with the buttons.
        Grey is not shown: {hidden}; dark grey are sulci. {normalized}Good: contiguous colour in the same places in both
        hemispheres. Bad: single coloured vertices scattered over the cortex, or colour where nothing can respond to the
        stimuli.""",
    "flatmap": """
        Pearson r {tested}, the first of the maps above, with the cortex cut open and flattened; the occipital
        lobes meet in the middle. Grey is not shown: {hidden}. {n_shown:,} of {n:,} vertices are shown{pointed}. Good:
        contiguous patches. Bad: speckle.""",
    "preference": """
        The layer of {model} that predicts a region best, drawn on its vertices, where the margin over the second
        best is large enough to be decided; grey: undecided, or in no region ({n_undecided:,} of {n:,} vertices).
        Good: early layers lie at the back. Bad: no order, which best layers show even for noise where nothing is
        left undecided.""",
    "margin": """
        How much better (difference in r) the best layer predicts than the second best. Good: large where the
        preference map has its colour. Near 0 everywhere: layers are exchangeable here, whatever the preference map
        shows.""",
    "profile": """
        Mean r on test stimuli over the layers of each network, with standard errors. Grey dashes: networks with random
        weights. Grey band: exchanged predictions, from their mean to the upper end of their interval. Dashed line:
        noise ceiling (r). Star: best layer, where decided. Good: a hill that rises above both controls, permuted near
        0. Bad: a flat line (undecided), random weights as high as trained ones (the structure of the network explains
        the score), or a permuted band away from 0 (a leak).""",
    "regionscores": """
        Mean r on test stimuli in every region, with standard errors. Grey dashes: networks with random weights. Grey
        band: exchanged predictions, from their mean to the upper end of their interval. Dashed line: noise ceiling (r).
        Good: far above the band, near the dashed line. Bad: random weights as high as trained ones (the structure of
        the network explains the score), or a band away from 0 (a leak).""",
    "heatmap": """
        Mean r for every region and layer of {model}. Circles: best layer where decided; grey rows with "?": undecided.
        Good: circles that move from early layers in early regions to late layers in late ones. Bad: one column
        brightest in every row: one layer predicts everything best, and says nothing about a hierarchy.""",
    "partition": """
        All layers of {model} predict together; bars: what each adds to the joint score ({score} on test stimuli, mean
        over the targets of a region, with a {confidence:.0%} interval over test stimuli). They add up to the black bar,
        the joint score. Diamonds: the same after a refit on responses exchanged between training stimuli (one draw,
        which all targets of a region share): {control}. Dashed: noise ceiling. What two layers say
        alike is shared between them, and a bar can be negative where layers correlate: one then corrects another.
        Good: a few bars far above their diamonds, and a black bar near the dashed line. Bad: bars that end at their
        diamonds, all bars alike (layers are exchangeable here), or large bars of both signs that cancel.""",
    "partitiontime": """
        All layers of {model} predict together; coloured lines: what each adds to the joint score ({score} on test
        stimuli, mean over sensors, with {confidence:.0%} intervals over test stimuli), which is black. Grey: the joint
        score after a refit on responses exchanged between training stimuli: {control}. Dashed: noise ceiling. A
        line can be negative where layers correlate. Good: before onset no line above 0 and the black one on the grey,
        then lines that rise in the order of the layers. Bad: lines that rise before onset, or mirror each other.""",
    "encoders": """
        Encoders of {model}, layer {layer}, on the same test images. Points: mean r over the targets of a region, with
        {confidence:.0%} intervals over resampled test images; dashed: noise ceiling (r); grey: exchanged
        predictions. The first encoder was trained; the others are what it has to beat: ridge on all tokens, ridge on
        their mean, a field and weights per target. Those that carry its name are the same network without something it
        chooses tokens by. Good: the first one above all others where a region is known to
        look for things wherever they are, and level with them elsewhere. Bad: ridge on the mean token as high as the
        rest (places do not matter here), or the trained one below ridge: too few images for it, or too few epochs.""",
    "dictionaries": """
        Ridge on sparse codes of {model}, layer {layer}, on the same test images as ridge on principal components and on
        rectified random projections of the same width, and on the features themselves. Points: mean r over the targets
        of a region, with {confidence:.0%} intervals over resampled test images; dashed: noise ceiling (r); grey:
        exchanged predictions. Good: sparse codes level with the features, which makes atoms worth reading, or above
        all others. Bad: below random projections, which know nothing of the images.""",
    "contest": """
        Above: mean r over the reliable targets of each region, of the best fit of each family (chosen inside the
        training stimuli), with {confidence:.0%} intervals; dashed: noise ceiling (r); grey: the largest r of any family
        when predictions are exchanged, up to the end of its interval. Below: by how much the best family is ahead of
        the best of the others, in its colour; hollow: undecided. Intervals hold the chance of test and training
        stimuli. Good: filled points well above 0 whose families lie near the dashed line. Bad: points on 0 (these
        families are exchangeable here, whatever their order above), or all families inside the grey band.""",
    "winners": """
        The family that predicts each vertex best, each with the fit chosen for this vertex inside the training stimuli.
        Pale: its region is undecided, or it lies in none. Not shown: {hidden}. {n_shown:,} of {n:,} reliable vertices
        are shown, {n_decided:,} of them in decided regions. Families are not tested at single vertices. Good: one
        colour over whole regions, the same in both hemispheres. Bad: colours mixed like noise, or a map all pale: then
        the order of the families says nothing, however it looks.""",
    "winnermargin": """
        How far (difference in r) the best family is ahead of the second at each vertex of the map above. Good: large
        where that map has full colour. Near 0: the families predict this vertex alike. It is never negative, so noise
        alone gives some margin: read it beside the figure by region, where the difference has an interval.""",
    "attention": """
        Where the query of each region attends in some test images (mean over heads and, where a region has several
        queries, over these; first seed); bright: most, each map on its own scale, from 0. Shown are the regions that
        are predicted best, and the first test images, not chosen ones. Good: regions that answer to things follow them
        from image to image, those that answer to places stay where they are. Bad: all regions alike, the
        borders or one token bright in every image (an artefact of the network), or attention all over.""",
    "layerweights": """
        All layers and seeds as one: each target weighs them by how well they predicted the training images that were
        set apart (softmax of 40 r; the weights sum to 1). Bars: weight of each layer, mean over the targets of a
        region, from the first layer (dark) to the last (light). Good: early layers in early regions, late ones in late
        regions. Bad: the same bar in every region, or equal parts throughout: validation scores do not tell the layers
        apart, by too few images or because any layer will do.""",
    "fields": """
        Mean absolute spatial field over the targets of each region (first seed; before any shift by what the image
        shows), from 0 (dark) to its largest value; of a response-optimised encoder over the maps of its core, whose
        filters may move a place by their reach. Good: compact patches, and neighbouring ones in regions with a map
        of the visual field. Bad: speckle or a flat field: the responses do not say where, or the layer has too few
        places.""",
    "timecourse": """
        Score over time from stimulus onset. Left: mean over sensors; dots: peak latencies with their interval, where
        decided; bars: clusters of the permutation test with p < .05 (none: no bars). Right: the sensor with the largest
        mean score, picked on these test stimuli, so too high by chance: shown, not tested. Grey: permuted. Good:
        nothing before onset, then a rise out of the grey. Bad: a score before 0 ms (a leak or a filter that smears
        backwards), or a curve inside the grey throughout.""",
    "leftoutcourse": """
        Score over time from stimulus onset in {tested}; of spaces with several layers the mean over them. Left:
        mean over sensors; right: the sensor with the largest mean score, picked on these same data, so too high by
        chance. Grey: what the largest r of any sensor and time stays below in 95 % of permutations. Good: nothing
        before onset, then a rise. Bad: a score before 0 ms (a leak or a filter that smears backwards).""",
    "topomap": """
        Score over the head, seen from above, nose up, at the times over each head. White dots: significant sensors.
        Good: a smooth patch over the part of the head where the response is expected. Bad: single hot sensors (noise
        or an artefact), or significance everywhere at once before onset.""",
    "electrodes": """
        Score of every electrode at its place, from three sides (mm as in the table of targets), at the time of the
        largest mean score: picked on these test stimuli, so too high by chance. Black rims: significant electrodes.
        Good: high scores side by side. Bad: single ones (noise, or an artefact of one contact).""",
    "latency": """
        Time of the largest score of each layer with its interval. Undecided layers, whose curve is not above its
        permuted null, have no mark. Good: latencies that grow from the first layer to the last. Bad: overlapping
        intervals in no order, which support no sequence.""",
    "rsatime": """
        Comparison of the RDM of each network with the RDM of the sensor patterns at each time; of the layer with the
        largest mean fit, picked on these data. Shade: two standard errors. Grey: permuted conditions (upper end: the 95
        % point of each time alone). Sand: noise ceiling, where the true model would lie (none without repeats). Fit and
        ceiling are means over single repeats. Times are not tested together: the corrected p of each is in the
        numbers. Good: a curve that leaves the grey after onset and nears the sand. Bad: a fit before onset, or a
        ceiling that is itself at 0: then no model can be tested.""",
    "plantedlayers": """
        Layers planted in the simulation against the layers found. Dashed: recovered as planted. Undecided areas are
        counted and left out, not guessed. Good: all on the diagonal or one beside it. Bad: a column that takes all
        areas: one layer wins whatever was planted.""",
    "plantedlatencies": """
        Latencies planted in the simulation against the latencies found, with intervals. Band: allowed error, the
        larger of 12 ms and one sample. Good: all marks in the band. Bad: all above or below the dashed line: a shift
        from filtering or a trigger delay.""",
    "plantedceilings": """
        Noise ceilings planted in the simulation against their estimates. Left: targets, mean and sd per planted level;
        right: error of the mean with two standard errors and the allowed ± {tolerance:g}. Good: means in the band,
        scatter on both sides of 0 at a planted 0. Bad: means that drift off as the ceiling rises (repeats are not
        exchangeable) or all above 0 at a planted 0 (a clamped estimator).""",
    "plantedpreferences": """
        Preferences planted in the regions (rows) against those found (columns). Good: a full diagonal. Undecided
        regions are counted in the title.""",
    "referencebars": """
        Comparison of each model's RDM with the reference RDMs; of a network the layer with the largest mean fit, picked
        on these data. Lines: standard error. Sand: noise ceiling, where the true model would lie (none where there is
        one RDM only). Diamonds: the same layer with random weights, mean and sd over initialisations (none where no
        such network of this architecture is there; others are in the table). Good: a bar beyond its diamond and into
        the sand. Bad: random weights as good as trained ones, or an animacy model as good as a network: then the
        network need not know more than that. Layers combined by weights are scored on subjects and images that the
        weights were not fitted to, with a ceiling (outlined) and chance of their own; cross: the best of these layers,
        chosen and scored on the same parts, which is what a combination must beat.""",
    "regionbars": """
        Comparison of each network's RDM with the RDM of each region; of the layer with the largest mean fit over
        regions, picked on these data. Lines: standard error. Sand: noise ceiling, where the true model would lie (none
        without repeats). Fit and ceiling are means over single repeats. Good: a bar beyond those of random weights.
        Bad: random weights as good as trained ones. Layers combined by weights are scored on repeats and stimuli that
        the weights were not fitted to, with a ceiling (outlined) and chance of their own; cross: the best of these
        layers, chosen and scored on the same parts.""",
    "referencelayers": """
        Fit over the layers of each network, with standard errors; sand: noise ceiling; grey band: random weights (mean
        and sd). {verdicts} A largest value is not a best layer: one is only called best when it beats all others after
        correction by the maximum over layers. Good: a smooth hill beyond the grey. Bad: jumps between neighbouring
        layers, larger than the standard errors. Dashed: layers combined by weights, on held-out subjects and images;
        dotted: the best of them, chosen and scored on the same parts.""",
    "referencerdms": """
        Dissimilarities as ranks (dark: alike; light: different), conditions grouped by category. Good: dark blocks on
        the diagonal at the same places as in the reference. Bad: stripes, single images unlike all others, which drive
        a correlation on their own.""",
    "referencemds": """
        Classical scaling of the RDM into the plane: near means alike; colour: category. Two dimensions cannot hold all
        distances; read it together with the matrix. Good: colours that cluster where the matrix has dark blocks.""",
    "convergencespace": """
        Best layer of every region of {model} (left) and of its twin of random weights (right) against distance from
        {origin}, each chosen on one half of the test images. Filled: decided, the only ones that the score counts;
        hollow: undecided. Dashed: straight line through the filled ones. Good: early layers near the origin and late
        ones far from it on the left, no order on the right. Bad: all regions in one layer (no score), an order that
        hangs on one or two regions, or a twin with the same order: then the architecture orders them, not training.""",
    "convergencetime": """
        Time of the largest mean r over sensors for every layer of {model}, with its interval over resampled test
        images; grey: random weights. Layers without a mark are undecided. Networks of different depth share the axis
        from first to last layer. Good: times that rise from layer to layer by more than their intervals. Bad: one time
        for all layers (the network reads the same moment of the response throughout), or a rise in grey as well.""",
    "halftimes": """
        Left: scores of {model} at its checkpoints, each as a share of its last value; diamonds: half-times, where a
        curve first reaches half (dashed), with intervals over resampled test images as bars. Spatial and temporal
        scores are those of regions and layers that are decided at the last checkpoint; without any order they count as
        0. Right: half-time of the encoding score of every region. ({who}.) Random weights predict something: a curve
        that starts above half has half-time 0, and the table in the files counts from the first checkpoint too. Good:
        curves that rise once and settle. Bad: curves that cross half several times, or intervals over the whole
        training: too few images or checkpoints.""",
    "convergencemaps": """
        Correlation over regions of what was found for {model} with cortical maps; grey band: 95 % of maps that are
        unrelated and as smooth ({nulls}). Dark: q at most .05 over all bars of a subject. Good: a bar well outside the
        band for a map that was named beforehand. Bad: many bars just outside, or few regions: maps of the cortex
        resemble each other, so a bar does not say which of them matters.""",
    "identification surface": """
        Left: share of regions named correctly at every lower and upper threshold (upper left corner: ranks as they
        are; diagonal: two values only), with the families of thresholds outlined. Right: the same for rank RSA, the
        upper clip and others, with {confidence:.0%} intervals over subjects and images; grey bar: 95 % of relabelled
        regions, for the nested choice. Dotted: chance ({chance:.3f}). Good: a broad plateau above rank RSA, and nested
        above it too. Bad: one bright cell beside dark ones: a maximum found by looking; or a bright left edge up to
        the middle: there the upper clip alone does it.""",
    "matchingpairs": """
        Similarity ({measure}) of every layer of one network (rows, first at the bottom) with every layer of another.
        Good: a bright band from the first layers of both to the last, above the nulls of the table. Bad: one colour
        throughout (all layers alike: early vision, or a measure that the number of units lifts), or a trained network
        as like its twin of random weights as another trained one.""",
    "matchingdimension": """
        Measures of dimension over {over}, all on the same stimuli. Participation ratio: dimensions that share the
        variance; RankMe: the entropy of singular values (or of eigenvalues, centred); spectral exponent: how fast
        variance falls, near 1 in mouse visual cortex; two nearest neighbours: dimension of the manifold itself, too low
        above 10. Good: measures that agree on where dimension rises and falls. Bad: a collapse towards 1, or a value
        near the number of stimuli, which says nothing of the network.""",
    "matchingbias": """
        Share of each layer's variance that known features of the stimuli fill (points), and how well they can be read
        out of held-out stimuli (dotted). Good: lines that move together. Bad: a feature that can be read out but fills
        little variance: similarity, RSA and regression hardly see it, so compare networks with features of equal
        variance too (equal_variance, whitened).""",
    "matchingmanifolds": """
        Categories of the stimuli over {over}: capacity, NC1 (variance within over variance between), CDNV (the same for
        pairs), how far the means are from a simplex, and how often the nearest mean is that of the own category.
        Bands: the range of draws with shuffled categories. Good: capacity above its band and NC1 and CDNV below theirs,
        more so in deep layers. Bad: lines within their bands (the layer does not hold these categories), or the same
        lines in a network with random weights (the pixels tell them apart). No mark: CDNV is infinite
        where no two means can be told apart; NC2 needs three categories, and no more of them than units + 1.""",
    "group": """
        Every model in every subject, with {confidence:.0%} intervals; grey: controls; dashed: noise ceiling
        of the subject. Good: the same order of models in every subject. Bad: an order that changes from subject to
        subject: the average over them would hide it.""",
}
