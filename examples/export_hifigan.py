#!/usr/bin/env python3
"""Makes a folder that `vocode(mel, model => 'FOLDER')` takes out of a HiFi-GAN generator.

    # torchaudio's own (V3, LJ Speech); pip install 'torch<2.9' 'torchaudio<2.9' onnx onnxruntime
    python export_hifigan.py torchaudio hifigan-v3/

    # a checkpoint of the original repository (or of a training run of yours), its config.json beside it
    git clone https://github.com/jik876/hifi-gan
    python export_hifigan.py original LJ_V1/generator_v1 hifigan-v1/ --repository hifi-gan/

The folder holds `model.onnx` (mel [batch, mels, frames] to audio [batch, 1, samples]) and `config.json`, which says
which mel the generator was trained on: vocode refuses any other. At the end ONNX is compared with PyTorch.
"""

import argparse
import json
import sys
from pathlib import Path

# The most by which the two may differ, of samples between -1 and 1.
TOLERANCE = 1e-4


def config(name, sample_rate, n_fft, win_length, hop_length, n_mels, fmin, fmax):
    """What HiFi-GAN's mel is, in the words of `mel_spectrogram`; the numbers are the generator's own."""
    return {
        "kind": "vocoder",
        "architecture": name,
        "input": "mel",
        "output_rank": 3,
        "sample_rate": sample_rate,
        "n_fft": n_fft,
        "win_length": win_length,
        "hop_length": hop_length,
        "n_mels": n_mels,
        "fmin": float(fmin),
        # None means half the sample rate, in both.
        "fmax": sample_rate / 2 if fmax is None else float(fmax),
        "mel_scale": "slaney",
        "mel_norm": "slaney",
        "magnitude_power": 1.0,
        "pad": "reflect, (n_fft-hop)/2 each side, center=false",
        "log": "ln(max(x, 1e-5))",
    }


def from_torchaudio():
    """torchaudio's bundle; its weights are downloaded on first use."""
    from torchaudio.prototype.pipelines import HIFIGAN_VOCODER_V3_LJSPEECH as bundle

    mel = bundle.get_mel_transform()
    return bundle.get_vocoder(), config(
        "HiFi-GAN V3", int(bundle.sample_rate), mel.n_fft, mel.win_length, mel.hop_size, mel.n_mels, mel.f_min, mel.f_max
    )


def from_original(checkpoint, repository):
    """A checkpoint of the original repository, whose `models.py` knows the architecture."""
    import torch

    sys.path.insert(0, str(repository))
    from env import AttrDict
    from models import Generator

    settings = AttrDict(json.loads((checkpoint.parent / "config.json").read_text()))
    generator = Generator(settings)
    generator.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True)["generator"])
    generator.remove_weight_norm()
    return generator, config(
        "HiFi-GAN", settings.sampling_rate, settings.n_fft, settings.win_size, settings.hop_size, settings.num_mels,
        settings.fmin, settings.fmax,
    )


def export(generator, settings, folder):
    """Writes the folder; frames and batch may then be of any length."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    generator.eval()
    mel = torch.randn(1, settings["n_mels"], 50)
    axes = {"mel": {0: "batch", 2: "frames"}, "audio": {0: "batch", 2: "samples"}}
    torch.onnx.export(
        generator, (mel,), str(folder / "model.onnx"),
        input_names=["mel"], output_names=["audio"], dynamic_axes=axes, opset_version=17, dynamo=False,
    )
    (folder / "config.json").write_text(json.dumps(settings) + "\n")


def check(generator, settings, folder):
    """The largest difference between ONNX and PyTorch, over lengths that were not exported."""
    import onnxruntime
    import torch

    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    largest = 0.0
    for batch, frames in [(1, 1), (1, 173), (2, 64)]:
        # Around -5, as the logarithm of speech is.
        mel = torch.randn(batch, settings["n_mels"], frames) * 2 - 5
        with torch.no_grad():
            ours = generator(mel).numpy()
        (theirs,) = session.run(["audio"], {"mel": mel.numpy()})
        if theirs.shape != (batch, 1, frames * settings["hop_length"]):
            sys.exit(f"{frames} frames give audio of shape {theirs.shape}, not {settings['hop_length']} samples a frame")
        largest = max(largest, float(abs(ours - theirs).max()))
    return largest


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sources = parser.add_subparsers(dest="source", required=True)
    sources.add_parser("torchaudio").add_argument("folder", type=Path)
    original = sources.add_parser("original")
    original.add_argument("checkpoint", type=Path)
    original.add_argument("folder", type=Path)
    original.add_argument("--repository", type=Path, required=True, help="where models.py and env.py are")
    given = parser.parse_args()

    if given.source == "torchaudio":
        generator, settings = from_torchaudio()
    else:
        generator, settings = from_original(given.checkpoint, given.repository)
    export(generator, settings, given.folder)
    largest = check(generator, settings, given.folder)
    print(f"{given.folder}: ONNX and PyTorch differ by at most {largest:.1e}")
    if largest > TOLERANCE:
        sys.exit(f"that is more than {TOLERANCE}; do not use it")


if __name__ == "__main__":
    main()
