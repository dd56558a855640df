#!/usr/bin/env python3
"""Small tokenizers of every kind bitsweep reads, and the ids that Hugging Face's libraries give.

Each kind is a published family's pipeline (normalizer, pre_tokenizer, model options, post_processor,
flags of its added tokens), trained on the text of datasets/commons to a few hundred tokens, so that
no family's vocabulary is copied. The texts below are made to be hard.

    make_tokenizers.py OUT         writes OUT/<kind>/... and OUT/expected.json
    make_tokenizers.py OUT --ids   only OUT/expected.json, from the folders that are there

Needs Python 3 with tokenizers 0.23.3, transformers 5.24.0 and sentencepiece 0.2 (whose trainer alone
makes the character map of the kind `unigram`). expected.json says, for each kind and each text, the
ids with special tokens; `around` counts those before and after that are not the text's own.
"""
import json
import pathlib
import shutil
import sys
import tempfile

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
from tokenizers import pre_tokenizers, processors, trainers

ROOT = pathlib.Path(__file__).resolve().parents[2]

TEXTS = {
    "empty": "",
    "plain": "The baker's loaves, still warm, cost 3.50 at 7:45; we'd bought 12 of them.",
    "contractions": "I'm he's they'll we've you're it'd can't I'M HE'S THEY'LL 'tis don\u2019t it\u2019s x'\u017f '\ufb06",
    "blanks": "  two   three    four     \t tab\t\ttabs \n \n\n  a\r\n\r\nb\rc\n\n\n\nd   ",
    "odd blanks": "a\u00a0b\u2003c\u3000d\u2028e\u2029f\u0085g\u1680h\u200bi\ufeffj\u180ek\u202fl\x0bm\x0cn",
    "control": "\x01\x02\x1b[0m\x7f\x80\x9f\u200e\u202eabc\u2066x\u2069\ufffd\ufffe\U0010ffff",
    "digits": "1 12 123 1234 12345 1,000,000 \u0661\u0662\u0663 \u0967\u0968 \u2167 \u00bd\u00b2\u2460 \uff11\uff12 \U0001d7d8\u4e00\u4e8c",
    "punctuation": "(a)[b]{c}<d>\u00abe\u00bb\u201cf\u201d \u2026\u2014\u2013- !?!? ,.\u3002\u060c\u06d4\u0964 $+=^`|~ \u20ac\u00a7\u2116 #@&*_/\\ a_b __init__ x\u00b7y \u2e43\U00016e97",
    "accents": "caf\u00e9 cafe\u0301 \u00c5 A\u030a \u212b \u1e69 s\u0323\u0307 s\u0307\u0323 q\u0307\u0323 \u0130I\u0131 \u00dfSS \ufb01\ufb03 \u01c4\u01c5 \u2460\u00b9 \uac00 \u1100\u1161\u11a8 \u0958 \u2adc \U0001d15e \uac00\u11a7 e\u1dfa\u0301",
    "emoji": "\U0001f600\U0001f44d\U0001f3fd\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \U0001f1eb\U0001f1f7 \u2764\ufe0f 1\ufe0f\u20e3 \U0001f3f4\U000e0067\U000e0062\U000e007f \U0001fae8",
    "east asian": "\u4eca\u65e5\u306f\u826f\u3044\u5929\u6c17\u3002\u30ab\u30bf\u30ab\u30ca \uff76\uff9e \u304b\u3099 \ud55c\uad6d\uc5b4 \u4f60\u597d\uff0c\u4e16\u754c\uff01 \U00020000 \u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22",
    "right to left": "\u0645\u0631\u062d\u0628\u0627\u064b \u0628\u0650\u0633\u0652\u0645\u0650 \u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd \u200f(\u05d0\u05d1) \u0639\u0664\u0665",
    "indic": "\u0928\u092e\u0938\u094d\u0924\u0947 \u0995\u09cd\u09b7 \u0ba8\u0bbf \u0d28\u0d4d\u200d \u1019\u103c\u1014\u103a\u1019\u102c",
    "code": "def f(x, *args):\n    if x <= 0x1F:\n        return x**2  # ok\n\treturn {'a': [1, 2], \"b\": None}\n",
    "address": "https://example.org/a-b_c?q=1&r=%20#top me@host.net C:\\dir\\f.txt v1.2.3-rc4",
    "specials": "<s>a</s> <unk> <|endoftext|>x <bos><eos> <|begin_of_text|> <|im_start|>user\n<think>b</think><pad> </s",
    "flags": "a <left> b <right> c <both>  <word>d <word> e<word> \n<left><right>\t<both>z\u0301<word>",
    "metaspace": "\u2581a \u2581 b\u2581\u2581c ▁▁▁ <0x41> <0xE4>\u4e00 <0x0A>\n",
    "long blanks": " " * 37 + "x" + "\n" * 7 + "\t" * 9 + "y",
    "long word": "strawberriesandraspberries" * 3 + "aaaaaaaaaaaaaaaaaaaaaaaaa",
    "blank": " ",
    "ends": " begins and ends with a blank ",
}

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
TEKKEN = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
          r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}"
          r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
BLOOM = " ?[^(\\s|[.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c])]+"

BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def corpus():
    text = (ROOT / "datasets/commons/calibration.txt").read_text()
    return text.split("\n")[:400]


def special(text, **flags):
    return AddedToken(text, special=True, normalized=flags.pop("normalized", False), **flags)


def plain(text, **flags):
    return AddedToken(text, special=False, normalized=flags.pop("normalized", True), **flags)


FLAGGED = [plain("<left>", lstrip=True, normalized=False), special("<right>", rstrip=True),
           plain("<both>", lstrip=True, rstrip=True), plain("<word>", single_word=True)]


def template(front=(), after=(), tokenizer=None):
    names = [*front, "$A", *after]
    pair = [*front, "$A", *after, *(f"{t}:1" for t in front), "$B:1", *(f"{t}:1" for t in after)]
    return processors.TemplateProcessing(
        single=" ".join(names), pair=" ".join(pair),
        special_tokens=[(t, tokenizer.token_to_id(t)) for t in {*front, *after}])


def byte_level(pre, first=(), size=420, normalizer=None, **options):
    """Byte-level BPE: the alphabet, then merges; `first` are tokens with the first ids."""
    tokenizer = Tokenizer(models.BPE(**options))
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(corpus(), trainers.BpeTrainer(
        vocab_size=size, special_tokens=list(first), show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet())))
    return tokenizer


def sentencepiece_bpe(first, normalizer, pre, size=260, **options):
    """BPE on words that begin with U+2581, then the pipeline of the family in place of Metaspace."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    trained.train_from_iterator(corpus(), trainers.BpeTrainer(vocab_size=size, show_progress=False))
    model = json.loads(trained.to_str())["model"]
    runs = ["\u2581" * n for n in (2, 3, 4, 8)]
    names = [*first, *BYTES, *model["vocab"], *runs]
    merges = [tuple(m) for m in model["merges"]]
    merges += [("\u2581", "\u2581"), ("\u2581\u2581", "\u2581"), ("\u2581", "\u2581\u2581"),
               ("\u2581\u2581", "\u2581\u2581"), ("\u2581" * 4, "\u2581" * 4)]
    tokenizer = Tokenizer(models.BPE(vocab={n: i for i, n in enumerate(names)}, merges=merges,
                                     unk_token="<unk>", byte_fallback=True, **options))
    if normalizer:
        tokenizer.normalizer = normalizer
    if pre:
        tokenizer.pre_tokenizer = pre
    return tokenizer


def llama2(normalized=False):
    tokenizer = sentencepiece_bpe(
        ["<unk>", "<s>", "</s>"],
        normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]),
        None, fuse_unk=True)
    tokenizer.add_special_tokens([special(t, normalized=normalized) for t in ("<unk>", "<s>", "</s>")])
    tokenizer.post_processor = template(["<s>"], [], tokenizer)
    return tokenizer


def mistral():
    tokenizer = sentencepiece_bpe(
        ["<unk>", "<s>", "</s>"], None,
        pre_tokenizers.Metaspace(prepend_scheme="first", split=False), fuse_unk=True)
    tokenizer.add_special_tokens([special(t) for t in ("<unk>", "<s>", "</s>")])
    tokenizer.add_tokens(FLAGGED)
    tokenizer.post_processor = template(["<s>"], [], tokenizer)
    return tokenizer


def tekken():
    tokenizer = byte_level(pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(TEKKEN), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]),
        ["<unk>", "<s>", "</s>"], ignore_merges=True)
    tokenizer.post_processor = template(["<s>"], [], tokenizer)
    return tokenizer


def llama3():
    tokenizer = byte_level(pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA3), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]), ignore_merges=True)
    tokenizer.add_special_tokens([special("<|begin_of_text|>"), special("<|end_of_text|>")])
    tokenizer.add_tokens(FLAGGED)
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False), template(["<|begin_of_text|>"], [], tokenizer)])
    return tokenizer


def qwen2():
    tokenizer = byte_level(pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(QWEN2), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)]),
        normalizer=normalizers.NFC())
    tokenizer.add_special_tokens([special("<|endoftext|>"), special("<|im_start|>"), special("<|im_end|>")])
    tokenizer.add_tokens([plain("<think>", normalized=False), plain("</think>", normalized=False),
                          plain("cafe\u0301")])
    tokenizer.post_processor = processors.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    return tokenizer


def gemma():
    first = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<2mass>", "\n", "\n\n", "\n\n\n", "\t", "\t\t"]
    tokenizer = sentencepiece_bpe(
        first, normalizers.Replace(" ", "\u2581"),
        pre_tokenizers.Split(" ", "merged_with_previous"), fuse_unk=True)
    tokenizer.add_special_tokens([special(t) for t in first[:5]])
    tokenizer.add_tokens([plain(t, normalized=False) for t in [*first[5:], "\u2581\u2581", "\u2581\u2581\u2581"]])
    tokenizer.add_special_tokens([special("<image_soft_token>")])
    tokenizer.post_processor = template(["<bos>"], [], tokenizer)
    return tokenizer


def gpt2(size=420):
    tokenizer = byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False), size=size)
    tokenizer.add_special_tokens([special("<|endoftext|>")])
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer


def phi2():
    tokenizer = gpt2()
    tokenizer.add_tokens([plain(" " * n) for n in range(31, 1, -1)])
    tokenizer.add_tokens([plain("\t" * n) for n in range(9, 1, -1)])
    return tokenizer


def neox():
    tokenizer = byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False),
                           ["<|endoftext|>", "<|padding|>"], normalizer=normalizers.NFC())
    tokenizer.add_tokens([plain(" " * n) for n in range(24, 1, -1)])
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    return tokenizer


def bloom():
    tokenizer = byte_level(pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(BLOOM), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]),
        ["<unk>", "<s>", "</s>", "<pad>"])
    tokenizer.post_processor = processors.ByteLevel(add_prefix_space=True, trim_offsets=False, use_regex=False)
    return tokenizer


def falcon():
    tokenizer = byte_level(pre_tokenizers.Sequence([
        pre_tokenizers.Punctuation("contiguous"),
        pre_tokenizers.ByteLevel(add_prefix_space=False),
        pre_tokenizers.Digits(individual_digits=False),
        pre_tokenizers.Split(Regex("[0-9][0-9][0-9]"), "isolated")]),
        [">>TITLE<<", ">>ABSTRACT<<", "<|endoftext|>"])
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer


def charsmap():
    """A small map in SentencePiece's precompiled form: a few of NFKC's rules, and blanks."""
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2
    rules = {"\ufb01": "fi", "\ufb03": "ffi", "\u212b": "\u00c5", "A\u030a": "\u00c5", "e\u0301": "\u00e9",
             "\u2026": "...", "\u00bd": "1/2", "\u2460": "1", "\uff11": "1", "\t": " ", "\n": " ", "\r": " ",
             "\u00a0": " ", "\u3000": " ", "\u200b": " ", "\x01": "", "\uff76\uff9e": "\u30ac",
             "\u304b\u3099": "\u304c"}
    with tempfile.TemporaryDirectory() as folder:
        table = pathlib.Path(folder, "rules.tsv")
        table.write_text("".join(" ".join(f"{ord(c):X}" for c in a) + "\t" +
                                 " ".join(f"{ord(c):X}" for c in b) + "\n" for a, b in rules.items()))
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(corpus()), model_prefix=f"{folder}/m", vocab_size=200,
            normalization_rule_tsv=str(table), minloglevel=2)
        model = sentencepiece_model_pb2.ModelProto()
        model.ParseFromString(pathlib.Path(folder, "m.model").read_bytes())
    return model.normalizer_spec.precompiled_charsmap


def unigram(pre, normalizer, byte_tokens=()):
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.train_from_iterator(corpus(), trainers.UnigramTrainer(
        vocab_size=400, show_progress=False, special_tokens=["<pad>", "</s>", "<unk>", *byte_tokens],
        unk_token="<unk>"))
    model = json.loads(tokenizer.to_str())["model"]
    tokenizer.model = models.Unigram([(t, round(s, 4)) for t, s in model["vocab"]], model["unk_id"],
                                     byte_fallback=bool(byte_tokens))
    tokenizer.normalizer = normalizer
    if pre:
        tokenizer.pre_tokenizer = pre
    return tokenizer


def t5():
    tokenizer = unigram(
        pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]),
        normalizers.Sequence([normalizers.Precompiled(charsmap()), normalizers.Strip(left=False, right=True),
                              normalizers.Replace(Regex(" {2,}"), "\u2581")]))
    tokenizer.add_tokens(FLAGGED)
    tokenizer.post_processor = template([], ["</s>"], tokenizer)
    return tokenizer


def unigram_bytes():
    """No pre_tokenizer: the text is one word; every byte has a token but that of U+0001."""
    tokenizer = unigram(None, normalizers.Sequence([
        normalizers.NFKC(), normalizers.Lowercase(), normalizers.Replace(" ", "\u2581"),
        normalizers.Prepend("\u2581")]), [b for b in BYTES if b != "<0x01>"])
    data = json.loads(tokenizer.to_str())
    data["pre_tokenizer"] = None
    data["added_tokens"] = [t for t in data["added_tokens"] if t["content"] in ("<pad>", "</s>", "<unk>")]
    return Tokenizer.from_str(json.dumps(data))


def pieces():
    """What no family above has: other behaviours of Split, the forms NFD and NFKD, unknown tokens."""
    tokenizer = byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False), ["<unk>"], size=300)
    data = json.loads(tokenizer.to_str())
    vocab = {t: i for i, t in enumerate(t for t in data["model"]["vocab"] if t not in "xyz")}
    merges = [m for m in data["model"]["merges"] if all(t in vocab for t in (*m, "".join(m)))]
    tokenizer = Tokenizer(models.BPE(vocab, [tuple(m) for m in merges], unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Strip(), normalizers.NFKD()])
    split = pre_tokenizers.Split
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Whitespace(), split("b", "removed"), split(Regex("c|k"), "merged_with_next"),
        split(Regex("[oa]"), "contiguous"), split("e", "merged_with_previous"),
        split(Regex(r"\p{L}+"), "contiguous", invert=True), pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=False),
        pre_tokenizers.Metaspace(replacement="_", prepend_scheme="never")])
    tokenizer.add_tokens(FLAGGED)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 1))
    return tokenizer


def opt_files(folder):
    """OPT's repositories have GPT-2's files and no tokenizer.json."""
    tokenizer = byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False),
                           ["<s>", "<pad>", "</s>", "<unk>"])
    tokenizer.model.save(str(folder))
    token = {"lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
    config = {"errors": "replace", "add_prefix_space": False, "add_bos_token": True,
              "tokenizer_class": "GPT2Tokenizer", "special_tokens_map_file": None}
    names = {"unk_token": "</s>", "bos_token": "</s>", "eos_token": "</s>", "pad_token": "<pad>"}
    for key, name in names.items():
        config[key] = {"__type": "AddedToken", "content": name, **token}
    (folder / "tokenizer_config.json").write_text(json.dumps(config) + "\n")
    (folder / "special_tokens_map.json").write_text(
        json.dumps({key: {"content": name, **token} for key, name in names.items()}) + "\n")


def llama_files(folder):
    """A tokenizer_config.json whose options do not overrule the post_processor, but add a token."""
    save(llama2(), folder)
    (folder / "tokenizer_config.json").write_text(json.dumps(
        {"add_bos_token": False, "add_eos_token": True, "bos_token": "<s>", "eos_token": "</s>",
         "unk_token": "<unk>", "pad_token": "<pad>", "legacy": True, "tokenizer_class": "LlamaTokenizer"}) + "\n")


def qwen2_files(folder):
    """A tokenizer_config.json that adds tokens, and flags to one that is there."""
    save(qwen2(), folder)

    def token(content, **flags):
        return {"content": content, "lstrip": False, "normalized": False, "rstrip": False,
                "single_word": False, "special": True, **flags}
    (folder / "tokenizer_config.json").write_text(json.dumps(
        {"added_tokens_decoder": {"420": token("<|endoftext|>"),
                                  "423": token("<think>", special=False, lstrip=True),
                                  "430": token("<left>", special=False, rstrip=True)},
         "additional_special_tokens": ["<right>"], "bos_token": None, "eos_token": "<|im_end|>",
         "pad_token": "<pad>", "tokenizer_class": "Qwen2Tokenizer"}) + "\n")


def save(tokenizer, folder):
    data = json.loads(tokenizer.to_str())
    data["decoder"] = None
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    (folder / "tokenizer.json").write_text(text + "\n")


KINDS = {"llama1": lambda: llama2(normalized=True), "llama2": llama2, "llama3": llama3, "mistral": mistral,
         "tekken": tekken, "qwen2": qwen2, "gemma": gemma, "phi2": phi2, "gpt2": gpt2, "neox": neox,
         "bloom": bloom, "falcon": falcon, "t5": t5, "unigram_bytes": unigram_bytes, "pieces": pieces}
FILES = {"opt": opt_files, "llama2_config": llama_files, "qwen2_config": qwen2_files}


def encode_all(folder):
    """A function that gives ids with special tokens or without, by the library that reads the files."""
    if (folder / "tokenizer_config.json").exists():
        from transformers import AutoTokenizer
        tokenizer = AutoTokenizer.from_pretrained(str(folder))
        return lambda text, specials: tokenizer(text, add_special_tokens=specials)["input_ids"]
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return lambda text, specials: tokenizer.encode(text, add_special_tokens=specials).ids


def make(kind, folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if kind in KINDS:
        save(KINDS[kind](), folder)
    else:
        FILES[kind](folder)


def main():
    out = pathlib.Path(sys.argv[1])
    expected = {"texts": TEXTS, "kinds": {}}
    for kind in [*KINDS, *FILES]:
        folder = out / kind
        if "--ids" not in sys.argv:
            make(kind, folder)
        encode = encode_all(folder)
        nothing = encode("", True)
        front = next((i for i in range(len(nothing) + 1) if
                      nothing[:i] + encode("a", False) + nothing[i:] == encode("a", True)))
        ids = {}
        for name, text in TEXTS.items():
            ids[name] = encode(text, True)
            assert ids[name] == nothing[:front] + encode(text, False) + nothing[front:], (kind, name)
        expected["kinds"][kind] = {"around": [front, len(nothing) - front], "ids": ids}
    write_expected(out / "expected.json", expected)


def write_expected(path, expected):
    """One line a text and kind, so that a change shows where it is."""
    def dump(value):
        return json.dumps(value, separators=(",", ":"))
    kinds = []
    for kind, value in expected["kinds"].items():
        rows = ",\n".join(f"{dump(name)}:{dump(ids)}" for name, ids in value["ids"].items())
        kinds.append(f"{dump(kind)}:{{\"around\":{dump(value['around'])},\"ids\":{{\n{rows}}}}}")
    texts = ",\n".join(f"{dump(name)}:{dump(text)}" for name, text in expected["texts"].items())
    path.write_text('{"texts":{\n' + texts + '},\n"kinds":{\n' + ",\n".join(kinds) + "}}\n")


if __name__ == "__main__":
    main()
