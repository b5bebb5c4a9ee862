"""References the report prints for the steps that ran: text for people, BibTeX for reference managers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reference:
    """One reference."""

    authors: str
    year: int
    title: str
    where: str
    doi: str = ""

    @property
    def text(self) -> str:
        """The reference on one line."""
        return f"{self.authors} ({self.year}). {self.title}. {self.where}."

    def _bibtex_authors(self) -> str:
        """Return "Last, Initials" joined by "and"."""
        names = [name.rsplit(" ", 1) for name in self.authors.removesuffix(", et al.").split(", ")]
        joined = " and ".join(f"{last}, {initials}" for last, initials in names)
        return f"{joined} and others" if self.authors.endswith("et al.") else joined

    def bibtex(self, key: str) -> str:
        """Return a BibTeX entry."""
        fields = {
            "author": self._bibtex_authors(),
            "year": str(self.year),
            "title": self.title,
            "journal": self.where,
            "doi": self.doi,
        }
        lines = [f"  {name} = {{{value}}}" for name, value in fields.items() if value]
        return f"@article{{{key},\n" + ",\n".join(lines) + "\n}"


CITATIONS = {
    "futureprediction": Reference(
        "Nayebi A, Rajalingham R, Jazayeri M, Yang GR", 2023,
        "Neural foundations of mental simulation: future prediction of latent representations on dynamic scenes",
        "Advances in Neural Information Processing Systems 36",
    ),
    "snakemake": Reference(
        "Mölder F, Jablonski KP, Letcher B, et al.", 2021, "Sustainable data analysis with Snakemake",
        "F1000Research 10:33", "10.12688/f1000research.29032.2",
    ),
    "nilearn": Reference(
        "Abraham A, Pedregosa F, Eickenberg M, et al.", 2014, "Machine learning for neuroimaging with scikit-learn",
        "Frontiers in Neuroinformatics 8:14", "10.3389/fninf.2014.00014",
    ),
    "searchlight": Reference(
        "Kriegeskorte N, Goebel R, Bandettini P", 2006, "Information-based functional brain mapping",
        "Proceedings of the National Academy of Sciences 103:3863-3868", "10.1073/pnas.0600244103",
    ),
    "brainscuba": Reference(
        "Luo AF, Henderson MM, Tarr MJ, Wehbe L", 2024,
        "BrainSCUBA: fine-grained natural language captions of visual cortex selectivity", "ICLR, arXiv:2310.04420",
    ),
    "lavca": Reference(
        "Matsuyama T, Nishimoto S, Takagi Y", 2026, "LaVCa: LLM-assisted visual cortex captioning",
        "ICLR, arXiv:2502.13606",
    ),
    "surfacesearchlight": Reference(
        "Oosterhof NN, Wiestler T, Downing PE, Diedrichsen J", 2011,
        "A comparison of volume-based and surface-based multi-voxel pattern analysis", "NeuroImage 56:593-600",
        "10.1016/j.neuroimage.2010.04.270",
    ),
    "sklearn": Reference(
        "Pedregosa F, Varoquaux G, Gramfort A, et al.", 2011, "Scikit-learn: machine learning in Python",
        "Journal of Machine Learning Research 12:2825-2830",
    ),
    "grounding": Reference(
        "Zhang Y, Choi M, Han K, Liu Z", 2021,
        "Explainable semantic space by grounding language to vision with cross-modal contrastive learning",
        "NeurIPS, arXiv:2111.07180",
    ),
    "clip": Reference(
        "Radford A, Kim JW, Hallacy C, et al.", 2021,
        "Learning transferable visual models from natural language supervision", "ICML, arXiv:2103.00020",
    ),
    "sentence": Reference(
        "Reimers N, Gurevych I", 2019, "Sentence-BERT: sentence embeddings using Siamese BERT-networks",
        "EMNLP-IJCNLP", "10.18653/v1/D19-1410",
    ),
    "ridge": Reference(
        "Hoerl AE, Kennard RW", 1970, "Ridge regression: biased estimation for nonorthogonal problems",
        "Technometrics 12:55-67", "10.1080/00401706.1970.10488634",
    ),
    "banded": Reference(
        "Dupré la Tour T, Eickenberg M, Nunez-Elizalde AO, Gallant JL", 2022,
        "Feature-space selection with banded ridge regression", "NeuroImage 264:119728",
        "10.1016/j.neuroimage.2022.119728",
    ),
    "identification": Reference(
        "Kay KN, Naselaris T, Prenger RJ, Gallant JL", 2008, "Identifying natural images from human brain activity",
        "Nature 452:352-355", "10.1038/nature06713",
    ),
    "zeroshot": Reference(
        "Mitchell TM, Shinkareva SV, Carlson A, et al.", 2008,
        "Predicting human brain activity associated with the meanings of nouns",
        "Science 320:1191-1195", "10.1126/science.1152876",
    ),
    "spearmanbrown": Reference(
        "Spearman C", 1910, "Correlation calculated from faulty data", "British Journal of Psychology 3:271-295",
        "10.1111/j.2044-8295.1910.tb00206.x",
    ),
    "maxstat": Reference(
        "Nichols TE, Holmes AP", 2002, "Nonparametric permutation tests for functional neuroimaging",
        "Human Brain Mapping 15:1-25", "10.1002/hbm.1058",
    ),
    "fdr": Reference(
        "Benjamini Y, Hochberg Y", 1995,
        "Controlling the false discovery rate: a practical and powerful approach to multiple testing",
        "Journal of the Royal Statistical Society B 57:289-300", "10.1111/j.2517-6161.1995.tb02031.x",
    ),
    "bootstrap": Reference(
        "Hesterberg TC", 2015, "What teachers should know about the bootstrap: resampling in the undergraduate "
        "statistics curriculum", "The American Statistician 69:371-386", "10.1080/00031305.2015.1089789",
    ),
    "folds": Reference(
        "Nadeau C, Bengio Y", 2003, "Inference for the generalization error", "Machine Learning 52:239-281",
        "10.1023/A:1024068626366",
    ),
    "rsa": Reference(
        "Kriegeskorte N, Mur M, Bandettini P", 2008,
        "Representational similarity analysis: connecting the branches of systems neuroscience",
        "Frontiers in Systems Neuroscience 2:4", "10.3389/neuro.06.004.2008",
    ),
    "crossnobis": Reference(
        "Walther A, Nili H, Ejaz N, Alink A, Kriegeskorte N, Diedrichsen J", 2016,
        "Reliability of dissimilarity measures for multi-voxel pattern analysis",
        "NeuroImage 137:188-200", "10.1016/j.neuroimage.2015.12.012",
    ),
    "shrinkage": Reference(
        "Schäfer J, Strimmer K", 2005,
        "A shrinkage approach to large-scale covariance matrix estimation and implications for functional genomics",
        "Statistical Applications in Genetics and Molecular Biology 4:32", "10.2202/1544-6115.1175",
    ),
    "ledoitwolf": Reference(
        "Ledoit O, Wolf M", 2004, "A well-conditioned estimator for large-dimensional covariance matrices",
        "Journal of Multivariate Analysis 88:365-411", "10.1016/S0047-259X(03)00096-4",
    ),
    "rsaceiling": Reference(
        "Nili H, Wingfield C, Walther A, Su L, Marslen-Wilson W, Kriegeskorte N", 2014,
        "A toolbox for representational similarity analysis", "PLoS Computational Biology 10:e1003553",
        "10.1371/journal.pcbi.1003553",
    ),
    "incontext": Reference(
        "Yu M, et al.", 2025, "Meta-learning an in-context transformer model of human higher visual cortex",
        "NeurIPS. arXiv:2505.15813", "10.48550/arXiv.2505.15813",
    ),
    "empiricalbayes": Reference(
        "Efron B, Morris C", 1973, "Stein's estimation rule and its competitors: an empirical Bayes approach",
        "Journal of the American Statistical Association 68:117-130", "10.1080/01621459.1973.10481350",
    ),
    "brainmae": Reference(
        "Yang Y, Mao Y, Liu X, Liu X", 2024,
        "BrainMAE: A region-aware self-supervised learning framework for brain signals", "arXiv:2406.17086",
    ),
    "tangent": Reference(
        "Varoquaux G, Baronnet F, Kleinschmidt A, Fillard P, Thirion B", 2010,
        "Detection of brain functional-connectivity difference in post-stroke patients using group-level covariance "
        "modeling", "MICCAI 2010", "10.1007/978-3-642-15705-9_25",
    ),
    "spose": Reference(
        "Hebart MN, Zheng CY, Pereira F, Baker CI", 2020,
        "Revealing the multidimensional mental representations of natural objects underlying human similarity "
        "judgements", "Nature Human Behaviour 4:1173-1185", "10.1038/s41562-020-00951-3",
    ),
    "vice": Reference(
        "Muttenthaler L, Zheng CY, McClure P, Vandermeulen RA, Hebart MN, Pereira F", 2022,
        "VICE: Variational Interpretable Concept Embeddings", "NeurIPS. arXiv:2205.00756",
    ),
    "alignet": Reference(
        "Muttenthaler L, Greff K, Born F, et al.", 2025,
        "Aligning machine and human visual representations across abstraction levels", "Nature 647:349-355",
        "10.1038/s41586-025-09631-6",
    ),
    "brainflora": Reference(
        "Li D, et al.", 2025, "BrainFLORA: uncovering brain concept representation via multimodal neural embeddings",
        "arXiv:2507.09747", "10.48550/arXiv.2507.09747",
    ),
    "thingsdata": Reference(
        "Hebart MN, Contier O, Teichmann L, et al.", 2023,
        "THINGS-data, a multimodal collection of large-scale datasets for investigating object representations in "
        "human brain and behavior", "eLife 12:e82580", "10.7554/eLife.82580",
    ),
    "zuco": Reference(
        "Hollenstein N, Rotsztejn J, Troendle M, Pedroni A, Zhang C, Langer N", 2018,
        "ZuCo, a simultaneous EEG and eye-tracking resource for natural sentence reading",
        "Scientific Data 5:180291", "10.1038/sdata.2018.291",
    ),
    "contrastive": Reference(
        "Radford A, Kim JW, Hallacy C, et al.", 2021,
        "Learning transferable visual models from natural language supervision", "ICML. arXiv:2103.00020",
        "10.48550/arXiv.2103.00020",
    ),
    "eegtotext": Reference(
        "Jo H, Yang Y, Han J, Duan Y, Xiong H, Lee WH", 2024, "Are EEG-to-text models working?",
        "arXiv:2405.06459", "10.48550/arXiv.2405.06459",
    ),
    "permutationimportance": Reference(
        "Breiman L", 2001, "Random forests", "Machine Learning 45:5-32", "10.1023/A:1010933404324",
    ),
    "sae": Reference(
        "Gao L, Dupré la Tour T, Tillman H, et al.", 2024, "Scaling and evaluating sparse autoencoders",
        "arXiv:2406.04093", "10.48550/arXiv.2406.04093",
    ),
    "pursuit": Reference(
        "Costa V, Fel T, Lubana ES, Tolooshams B, Ba D", 2025,
        "From flat to hierarchical: extracting sparse representations with matching pursuit",
        "arXiv:2506.03093", "10.48550/arXiv.2506.03093",
    ),
    "brainguided": Reference(
        "Luo AF, Henderson MM, Wehbe L, Tarr MJ", 2023,
        "Brain diffusion for visual exploration: cortical discovery using large scale generative models",
        "NeurIPS. arXiv:2306.03089", "10.48550/arXiv.2306.03089",
    ),
    "recurrence": Reference(
        "Ye H, Lin H, Han J, et al.", 2024, "TFG: unified training-free guidance for diffusion models",
        "NeurIPS. arXiv:2409.15761", "10.48550/arXiv.2409.15761",
    ),
    "spurious": Reference(
        "Shirakawa K, Nagano Y, Tanaka M, et al.", 2024, "Spurious reconstruction from brain activity",
        "arXiv:2405.10078", "10.48550/arXiv.2405.10078",
    ),
}  # fmt: skip
