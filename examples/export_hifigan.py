"""A HiFi-GAN generator as ONNX, with the config.json that VoxQL's vocode() reads.

    python export_hifigan.py torchaudio hifigan-v3/
    python export_hifigan.py original hifigan-v1/ --repository hifi-gan/ --checkpoint generator_v1 --config config_v1.json

`torchaudio` is its bundle HIFIGAN_VOCODER_V3_LJSPEECH, which torchaudio 2.0 to 2.8 have and download; with
--untrained, its generator with random numbers, to try the export. `original` is a checkpoint of
github.com/jik876/hifi-gan, whose code is imported from --repository. Needs torch, torchaudio and onnx; where onnxruntime
is there, it must give torch's samples to 1e-4.
"""

import argparse
import json
import sys
from pathlib import Path

import torch

# What both training programs give their generators: torchaudio's bundle follows the original.
MEL = {
    "kind": "vocoder", "input": "mel", "output_rank": 3,
    "n_fft": 1024, "win_length": 1024, "hop_length": 256, "sample_rate": 22050,
    "n_mels": 80, "fmin": 0.0, "fmax": 8000.0, "mel_scale": "slaney", "mel_norm": "slaney", "magnitude_power": 1.0,
    "pad": "reflect, (n_fft-hop)/2 each side, center=false", "log": "ln(max(x, 1e-5))",
}


def from_torchaudio(untrained):
    from torchaudio.prototype.models import hifigan_vocoder_v3
    from torchaudio.prototype.pipelines import HIFIGAN_VOCODER_V3_LJSPEECH as bundle

    generator = hifigan_vocoder_v3() if untrained else bundle.get_vocoder()
    return generator, MEL | {"architecture": "HiFi-GAN V3"}


def from_original(repository, checkpoint, config):
    sys.path.insert(0, str(repository))
    from env import AttrDict
    from models import Generator

    trained = AttrDict(json.loads(Path(config).read_text()))
    generator = Generator(trained)
    generator.load_state_dict(torch.load(checkpoint, map_location="cpu")["generator"])
    generator.remove_weight_norm()
    names = {
        "n_fft": "n_fft", "win_length": "win_size", "hop_length": "hop_size", "sample_rate": "sampling_rate",
        "n_mels": "num_mels", "fmin": "fmin", "fmax": "fmax",
    }
    said = {ours: trained[theirs] for ours, theirs in names.items() if trained.get(theirs) is not None}
    return generator, MEL | {"architecture": "HiFi-GAN"} | said


def context_frames(generator, n_mels, hop):
    """How many frames to each side the sound of a frame depends on: what one frame changes."""
    mel = torch.zeros(1, n_mels, 201)
    other = mel.clone()
    other[:, :, 100] = 1.0
    changed = (generator(mel) != generator(other)).flatten().nonzero()
    return max(100 - changed.min().item() // hop, changed.max().item() // hop - 100)


@torch.no_grad()
def export(generator, config, folder):
    """Writes model.onnx, mel [batch, n_mels, frames] to audio [batch, 1, samples], and config.json."""
    generator.eval()
    config["context_frames"] = context_frames(generator, config["n_mels"], config["hop_length"])
    folder.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        generator, torch.randn(1, config["n_mels"], 50), str(folder / "model.onnx"),
        input_names=["mel"], output_names=["audio"], opset_version=17, dynamo=False,
        dynamic_axes={"mel": {0: "batch", 2: "frames"}, "audio": {0: "batch", 2: "samples"}},
    )
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")


@torch.no_grad()
def check(generator, config, folder):
    """The largest difference between torch's samples and onnxruntime's, for other sizes than the one exported."""
    import onnxruntime

    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    worst = 0.0
    for batch, frames in [(1, 7), (2, 333)]:
        mel = torch.randn(batch, config["n_mels"], frames)
        want = generator(mel)
        (got,) = session.run(None, {"mel": mel.numpy()})
        assert got.shape == tuple(want.shape) == (batch, 1, frames * config["hop_length"]), got.shape
        worst = max(worst, (torch.from_numpy(got) - want).abs().max().item())
    assert worst < 1e-4, f"onnxruntime's samples differ by {worst}"
    return worst


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", choices=["torchaudio", "original"])
    parser.add_argument("folder", type=Path, help="gets model.onnx and config.json")
    parser.add_argument("--untrained", action="store_true")
    for name in ["--repository", "--checkpoint", "--config"]:
        parser.add_argument(name, type=Path)
    given = parser.parse_args()
    if given.source == "torchaudio":
        generator, config = from_torchaudio(given.untrained)
    elif None in (given.repository, given.checkpoint, given.config):
        parser.error("original needs --repository, --checkpoint and --config")
    else:
        generator, config = from_original(given.repository, given.checkpoint, given.config)
    export(generator, config, given.folder)
    try:
        worst = check(generator, config, given.folder)
    except ModuleNotFoundError:
        print(f"{given.folder}: written; not checked, since onnxruntime is not installed")
    else:
        print(f"{given.folder}: written; onnxruntime gives torch's samples to {worst:.1e}")


if __name__ == "__main__":
    main()
