"""Makes the models and the expected vectors of this folder, by sentence-transformers itself.

    pip install torch sentence-transformers onnx onnxruntime onnxscript
    python make.py

Weights are random, but the layouts are those of real models: `bert` is that of BAAI/bge-large-en-v1.5 and
sentence-transformers/all-MiniLM-L6-v2, `mpnet` that of sentence-transformers/all-mpnet-base-v2.
"""

import json
import os
import shutil
import string
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, MPNetConfig, MPNetModel, PreTrainedTokenizerFast

HERE = Path(__file__).parent
SENTENCES = [
    "The cat sat on the mat.",
    "A man walks into the room, and everyone turns!",
    "naïve café-style résumé text",
    "",
    "word",
    "the " * 40,
]
PROMPT = "search for: "


def tokenizer(specials, cls, sep, pad, unk, folder, limit):
    words = ["the", "cat", "sat", "on", "mat", "man", "room", "and", "walk", "into", "search", "for"]
    pieces = list(string.ascii_lowercase) + ["##" + c for c in string.ascii_lowercase] + list(".,:!-")
    vocabulary = {t: i for i, t in enumerate(specials + words + pieces)}
    made = Tokenizer(models.WordPiece(vocabulary, unk_token=unk))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(
        single=f"{cls} $A {sep}", special_tokens=[(cls, vocabulary[cls]), (sep, vocabulary[sep])]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=made, cls_token=cls, sep_token=sep, pad_token=pad, unk_token=unk, model_max_length=limit
    )
    fast.save_pretrained(folder)
    return len(vocabulary), vocabulary[pad]


class Graph(torch.nn.Module):
    """The last layer, the layers before it, and the embeddings below them."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, *inputs):
        names = ["input_ids", "attention_mask", "token_type_ids"]
        out = self.model(**dict(zip(names, inputs)), output_hidden_states=True)
        return (out.last_hidden_state, *out.hidden_states[:-1])


def export(model, inputs, path):
    example = tuple(torch.ones((2, 5), dtype=torch.long) for _ in inputs)
    hidden = [f"hidden_states.{i}" for i in range(model.config.num_hidden_layers)]
    outputs = ["last_hidden_state", *hidden]
    axes = {name: {0: "batch", 1: "sequence"} for name in [*inputs, *outputs]}
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        Graph(model).eval(), example, str(path), input_names=list(inputs), output_names=outputs,
        dynamic_axes=axes, opset_version=14, dynamo=False,
    )


def write(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=1) + "\n")


def module(index, path, kind):
    return {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"}


def pooling(width, *modes, include_prompt=True):
    names = ["cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken"]
    switches = {f"pooling_mode_{name}": name in modes for name in names}
    return {"word_embedding_dimension": width, **switches, "include_prompt": include_prompt}


def dense(inputs, outputs, activation):
    activation = f"torch.nn.modules.{activation}"
    return {"in_features": inputs, "out_features": outputs, "bias": True, "activation_function": activation}


TRANSFORMER, POOLING = module(0, "", "Transformer"), module(1, "1_Pooling", "Pooling")
NORMALIZE = module(2, "2_Normalize", "Normalize")


def plain(width, mode, tail=()):
    return {"modules.json": [TRANSFORMER, POOLING, *tail], "1_Pooling/config.json": pooling(width, mode)}


def layouts(width):
    """What stands in each case's folder beside the graph."""
    dense_modules = [module(2, "2_Dense", "Dense"), module(3, "3_Normalize", "Normalize")]
    yield "all-MiniLM-L6-v2", "bert", {
        **plain(width, "mean_tokens", [NORMALIZE]),
        "sentence_bert_config.json": {"max_seq_length": 24, "do_lower_case": False},
    }, None
    yield "all-mpnet-base-v2", "mpnet", {
        **plain(width, "mean_tokens", [NORMALIZE]),
        "sentence_bert_config.json": {"max_seq_length": 32, "do_lower_case": False},
    }, None
    bge = {
        **plain(width, "cls_token", [NORMALIZE]),
        "sentence_bert_config.json": {"max_seq_length": 48, "do_lower_case": True},
        "config_sentence_transformers.json": {"prompts": {"query": PROMPT, "document": ""}, "default_prompt_name": None},
    }
    yield "bge-large-en-v1.5", "bert", bge, None
    yield "bge-large-en-v1.5", "bert", bge, "query"
    for mode in ["max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken"]:
        yield mode, "bert", plain(width, mode), None
    without = {
        "modules.json": [TRANSFORMER, POOLING],
        "1_Pooling/config.json": pooling(
            width, "cls_token", "mean_tokens", "max_tokens", "weightedmean_tokens", "lasttoken", include_prompt=False
        ),
        "config_sentence_transformers.json": {"prompts": {"query": PROMPT}, "default_prompt_name": "query"},
    }
    yield "without the prompt", "bert", without, "query"
    for activation in ["activation.Tanh", "linear.Identity", "activation.GELU"]:
        yield activation, "bert", {
            "modules.json": [TRANSFORMER, POOLING, *dense_modules],
            "1_Pooling/config.json": pooling(width, "cls_token", "mean_tokens"),
            "2_Dense/config.json": dense(2 * width, 24, activation),
        }, None


def main():
    torch.manual_seed(3)
    width = 16
    inputs = {"bert": ["input_ids", "attention_mask", "token_type_ids"], "mpnet": ["input_ids", "attention_mask"]}
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        sizes = dict(hidden_size=width, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32)
        for name in inputs:
            folder = scratch / name
            folder.mkdir()
            if name == "bert":
                specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
                vocabulary, pad = tokenizer(specials, "[CLS]", "[SEP]", "[PAD]", "[UNK]", folder, 64)
                config = BertConfig(vocab_size=vocabulary, max_position_embeddings=64, pad_token_id=pad,
                                    initializer_range=0.3, **sizes)
                model = BertModel(config, add_pooling_layer=False)
            else:
                specials = ["<s>", "<pad>", "</s>", "<unk>", "[MASK]"]
                vocabulary, pad = tokenizer(specials, "<s>", "</s>", "<pad>", "<unk>", folder, 64)
                config = MPNetConfig(vocab_size=vocabulary, max_position_embeddings=66, pad_token_id=pad,
                                     initializer_range=0.3, **sizes)
                model = MPNetModel(config, add_pooling_layer=False)
            model = model.eval()
            model.save_pretrained(folder)
            export(model, inputs[name], HERE / name / "onnx/model.onnx")
            for file in ["config.json", "tokenizer.json", "tokenizer_config.json"]:
                shutil.copy(folder / file, HERE / name / file)
        linear = torch.nn.Linear(2 * width, 24)
        from safetensors.torch import save_file
        save_file({"linear.weight": linear.weight.detach(), "linear.bias": linear.bias.detach()},
                  HERE / "dense.safetensors")

        cases = []
        for name, base, files, prompt in layouts(width):
            folder = scratch / f"case{len(cases)}"
            shutil.copytree(scratch / base, folder)
            write(folder, files)
            if "2_Dense/config.json" in files:
                shutil.copy(HERE / "dense.safetensors", folder / "2_Dense/model.safetensors")
            st = SentenceTransformer(str(folder), device="cpu")
            vectors = st.encode(SENTENCES, prompt_name=prompt, batch_size=1)
            cases.append({
                "name": name, "base": base, "files": files, "prompt_name": prompt, "sentences": SENTENCES,
                "embeddings": [[float(np.float32(v)) for v in row] for row in vectors],
            })
        (HERE / "expected.json").write_text(json.dumps(cases) + "\n")

    # The folder of the tests in SQL: everything at once.
    everything = {
        "modules.json": [TRANSFORMER, POOLING, NORMALIZE],
        "1_Pooling/config.json": pooling(width, "mean_tokens"),
        "config_sentence_transformers.json": {
            "prompts": {"query": PROMPT, "document": ""}, "default_prompt_name": None,
        },
    }
    write(HERE / "bert", everything)


main()
