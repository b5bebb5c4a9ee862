"""Films and sounds in any file that FFmpeg reads (the package av): frames by their time, sounds as samples.

A frame is named as media fragments name a moment: film.mp4#t=12.5 is what stands on the screen 12.5 s after the start.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainalign.checks import BrainalignError
from brainalign.io.readers import open_picture, reading

MOMENT = re.compile(r"#t=(\d+\.\d{6})$")  # at the end of a name
EARLY_S = 1e-4  # times are written in microseconds and kept in ticks of the film's clock


def name_frame(film: Path | str, seconds: float) -> str:
    """Name the frame of a film at a time."""
    return f"{film}#t={seconds:.6f}"


def film_of(path: Path | str) -> Path:
    """Return the file that a frame lies in: a picture, or a film."""
    return Path(MOMENT.sub("", str(path)))


def open_pictures(paths: Sequence[Path | str], names: Sequence[str] = ()) -> Iterator[Any]:
    """Yield pictures (PIL) of files, or frames of films; a film is opened once for frames of it that follow each other.

    `names` are what messages begin with, as of `open_picture`.
    """
    named = list(zip(map(str, paths), names or [""] * len(paths), strict=True))
    for film, part in groupby(named, key=lambda one: film_of(one[0]) if MOMENT.search(one[0]) else None):
        if film is None:
            yield from (open_picture(path, name) for path, name in part)
        else:
            yield from _frames(film, [float(MOMENT.findall(path)[0]) for path, _ in part])


def film_length(film: Path) -> float:
    """Measure a film, in seconds."""
    with _opened(film, "video") as (container, stream):
        if stream.duration is not None:
            return float(stream.duration * stream.time_base)
        if container.duration is not None:
            return float(container.duration) / 1e6
        last = [frame.pts for frame in container.decode(stream)][-1]
        return float((last - (stream.start_time or 0)) * stream.time_base)


def read_sound(path: Path) -> tuple[NDArray[np.float32], int]:
    """Read a sound, or that of a film: the mean of channels (n_samples,), 1 is full scale, and samples per second.

    A sound that begins after the film does is preceded by silence.
    """
    if path.suffix.lower() == ".wav":
        return _read_wav(path)
    with _opened(path, "audio") as (container, stream):
        rate, frames = int(stream.rate), list(container.decode(stream))
        if not frames:
            raise ValueError("holds no sample")
        begun = (container.start_time or 0) / 1e6
        late = round((float((frames[0].pts or 0) * frames[0].time_base) - begun) * rate)
        parts = [_samples(frame) for frame in frames]
    return np.concatenate([np.zeros(max(late, 0), dtype=np.float32), *parts]), rate


def _read_wav(path: Path) -> tuple[NDArray[np.float32], int]:
    from scipy.io import wavfile

    with reading(path, "not a readable .wav", "write it again, such as by ffmpeg -i FILE sound.wav"):
        rate, values = wavfile.read(path)
        if not len(values):
            raise ValueError("holds no sample")
    return _mean_of_channels(values.reshape(len(values), -1)), int(rate)


def _samples(frame: Any) -> NDArray[np.float32]:
    values = frame.to_ndarray()
    return _mean_of_channels(values.T if frame.format.is_planar else values.reshape(-1, len(frame.layout.channels)))


def _mean_of_channels(values: NDArray[Any]) -> NDArray[np.float32]:
    """Return samples (n, channels) of any type as one channel, 1 is full scale."""
    kind = values.dtype
    full = 128 if kind == np.uint8 else -np.iinfo(kind).min if kind.kind == "i" else 1
    mean = values.mean(axis=1, dtype=np.float32) - (full if kind == np.uint8 else 0)
    return np.asarray(mean / full, dtype=np.float32)


def _frames(film: Path, times: Sequence[float]) -> Iterator[Any]:
    """Yield the frame that is shown at each time; from one to a later one decoding goes on."""
    with _opened(film, "video") as (container, stream):
        tick = float(stream.time_base)
        start = round((container.start_time or 0) / 1e6 / tick)  # where the sound of the film begins too
        coming: Iterator[Any] = iter(())
        held: Any = None
        ahead: Any = None
        for seconds in times:
            if held is None or (held.pts - start) * tick > seconds + EARLY_S:
                for place in (start + int(seconds / tick), start):  # without an index a seek may end too late
                    container.seek(place, stream=stream)
                    coming = container.decode(stream)
                    held, ahead = next(coming, None), next(coming, None)
                    if held is None:
                        raise ValueError("holds no frame")
                    if (held.pts - start) * tick <= seconds + EARLY_S:
                        break
            while ahead is not None and (ahead.pts - start) * tick <= seconds + EARLY_S:
                held, ahead = ahead, next(coming, None)
            yield held.to_image()


@contextmanager
def _opened(path: Path, kind: str) -> Iterator[tuple[Any, Any]]:
    """Open a file of FFmpeg and its first stream of a kind."""
    try:
        import av
    except ImportError as error:
        raise BrainalignError(
            f'{path} is read by the package av: pip install "brainalign[media]"; or write frames of a film into a '
            "folder (ffmpeg -i film.mp4 -vf fps=4 run1/%05d.png), a sound as .wav"
        ) from error
    wrong, remedy = f"no file with {kind} that FFmpeg reads", "see that it plays, or write it again by ffmpeg"
    with reading(path, wrong, remedy), av.open(str(path)) as container:
        streams = getattr(container.streams, kind)
        if not streams:
            raise ValueError(f"holds no {kind}")
        streams[0].thread_type = "AUTO"
        yield container, streams[0]
