"""Train the diffusion model that ships in data/prior, and write its card: about half an hour on one core.

make prior
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from brainalign.simulation import clear_scenes, measure_things, render
from brainalign.synthesis import BrainGuidedPipeline, train_prior

N_SCENES, SCENES_SEED, SIZE, N_STEPS, N_SAMPLES = 8000, 8001, 32, 9000, 512

CARD = """# Prior: a diffusion model of simple scenes

- **What**: `UNet2DModel` with {n_parameters:,} parameters on 2 × 2 blocks of pixels, v-prediction, cosine schedule,
  1,000 steps; a `BrainGuidedPipeline` folder with weights in half precision.
- **Data**: {n_scenes:,} rendered scenes of {size} × {size} pixels and their mirror images
  (`brainalign.simulation.clear_scenes({n_scenes}, {scenes_seed})`): one circle, square, triangle or cross, red, green,
  blue or yellow, radius .22 to .34 and centre .37 to .63 of the width, on grey ground. Nothing was measured or
  collected; licence BSD-3-Clause, as the code.
- **Training**: `make prior` ({n_steps:,} steps of 32 images, seed 0; {seconds:.0f} s of one {cpu} core). Another
  processor or number of threads gives other last digits, and so another network of the same quality.
- **Quality**: of {n_samples} samples (25 DDIM steps, seeds 0 to {last}) {valid:.1%} are valid, that is one coloured
  thing whose outline overlaps a shape's by 75 % or more. By nearest shape, share of samples and valid ones among them:
  {shapes}.
- **Use**: `BrainGuidedPipeline.from_pretrained("data/prior")`. It knows nothing but such scenes.
"""


def main() -> None:
    """Train, save and describe the prior; or only describe the one in the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("data/prior"))
    parser.add_argument("--steps", type=int, default=N_STEPS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    images = render(clear_scenes(N_SCENES, SCENES_SEED), SIZE)
    begun = time.process_time()
    unet, scheduler, codec = train_prior(
        images, arguments.steps, progress=lambda step, loss: print(f"step {step}: loss {loss:.4f}", flush=True)
    )
    seconds = time.process_time() - begun
    BrainGuidedPipeline(unet.half(), scheduler, codec).save_pretrained(arguments.folder)
    write_card(arguments.folder, arguments.steps, seconds)


def write_card(folder: Path, n_steps: int, seconds: float) -> None:
    """Measure what the prior in a folder samples, and write SOURCE.md."""
    pipe = BrainGuidedPipeline.from_pretrained(folder)
    parts = []
    for start in range(0, N_SAMPLES, 64):
        generators = [torch.Generator().manual_seed(seed) for seed in range(start, start + 64)]
        parts.append(pipe(num_images=64, generator=generators).images)
    samples = torch.cat(parts).permute(0, 2, 3, 1).numpy()
    things = measure_things(np.rint(255 * samples).astype(np.uint8))
    nearest = things.overlap.idxmax(axis=1).to_numpy()
    shares = {shape: nearest == shape for shape in things.overlap}
    shapes = ", ".join(f"{name} {mine.mean():.0%} ({things.valid[mine].mean():.0%})" for name, mine in shares.items())
    card = CARD.format(
        n_parameters=sum(p.numel() for p in pipe.unet.parameters()),
        n_scenes=N_SCENES,
        scenes_seed=SCENES_SEED,
        size=SIZE,
        n_steps=n_steps,
        seconds=seconds,
        cpu=_cpu(),
        n_samples=N_SAMPLES,
        last=N_SAMPLES - 1,
        valid=things.valid.mean(),
        shapes=shapes,
    )
    (folder / "SOURCE.md").write_text(card)
    print(card)


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "CPU")


if __name__ == "__main__":
    main()
