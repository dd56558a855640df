"""oracle.py tokens: ids that the tokenizers library gives for the embedded model."""
import hashlib
import struct

from authors_code import encode, read_text, write_json

TOKENS_WHAT = "Token ids that the tokenizers library gives for the embedded model's tokenizer.json."
TOKENS_NOTES = {
    "sha256": "of the ids as 32-bit little-endian integers",
    "added token": "<|endoftext|> spelled out in a text becomes the single id 0, wherever it "
                   "stands; it splits the text, and each side is pre-tokenized alone",
    "joined_ids": "ids of the texts of all cases, in order, joined with one newline",
    "hex_cases": "texts that JSON readers may refuse (U+0000), as hexadecimal UTF-8",
}
CASES = [
    ("empty", ""),
    ("plain", "The quick brown fox jumps over the lazy dog."),
    ("contractions", "don't I'LL we've they're it's I'm he'd DON'T 's 't're ''s o'clock 'tis "
                     "y'all'd've can\u2019t"),
    ("contraction edges", "'S 'Re 'sx 'llama 'd'd'd a's's '' ' 're."),
    ("blanks", " a  b   c    d \t e\t\tf \n g\n\nh \n\n\n  i\r\nj \r k  "),
    ("blanks only", "     "),
    ("trailing blanks", "end   \n"),
    ("newlines", "\n\n\nstart\n\n\n\nmiddle\n \n \nend\n\n"),
    ("tabs", "\tint x;\t\t// y\n\t\treturn\t;"),
    ("unicode blanks", "a\u00a0b \u00a0c\u00a0 d\u2003e\u2009\u2009f\u3000g\u1680h\u202fi"
                       "\u205fj\u0085k\u2028l\u2029m"),
    ("not blanks", "a\u200bb\u180ec\u2060d\ufeffe\u00adf\u200cg\u200dh \u180e i \u200b j"),
    ("control", "a\u0001b\u0007c\u0008d\u001be\u007ff\u0080g\u009fh \u0001 \u000bi\u000cj"
                "\u001ck\u001dl\u001em\u001fn"),
    ("digits", "0 1 12 123 1234 1234567890 3.14159 1,000,000 0x1F 1e-9 v2.0 12th A4 5G 4x4"),
    ("unicode numbers", "\u00b2\u00bd\u2167\u2460\u4e09\u0663\u096d\uff15 \u00bc\u2153 "
                        "x\u00b3 \U0001d7d8\U0001d7d9"),
    ("punctuation", "... --- !!! ?! ;;; :-) (([[{{}}]])) \"'`\u00b4 <<>> @#$%^&*_+=~|\\/ "
                    "\u2014\u2013\u2026\u201cq\u201d\u00bfqu\u00e9?"),
    ("punctuation and letters", "a.b,c;d:e!f?g-h_i/j\\k|l (m)n [o]p {q}r \"s\"t 'u'v w...x"),
    ("symbols", "\u20ac5 \u00a310 \u00a5 \u00a9\u00ae\u2122 \u221a2 \u2264 \u2192 \u221e\u00b1 "
                "\u2603 \u2713 \u00b0C ^` \u02c6\u02dc"),
    ("letter categories", "\u01c5 \u01c4\u01c6 \u02b0\u02b1 \u00aa\u00ba \u05d0 \u3042 \u1e9e"
                          "\u00df \u0130\u0131 \u03c3\u03c2\u03a3 \u2c6f \ua7b1"),
    ("latin accents", "caf\u00e9 na\u00efve \u00c5ngstr\u00f6m \u017b\u00f3\u0142\u0107 "
                      "\u0111\u1ea1i h\u1ecdc \u0152uvre"),
    ("combining", "cafe\u0301 n\u0303 a\u0308\u0323 \u0301alone e\u0301\u0302\u0303 "
                  "Z\u0351\u036b\u0343a\u0335l\u0321g\u0328o \u0d28\u0d3f \u0bb5\u0bbf"),
    ("enclosing and modifiers", "1\u20e3 a\u20dd \U0001f44d\U0001f3fd x\ufe0f \u0e01\u0e33"),
    ("emoji", "\U0001f600\U0001f602 \U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 "
              "\U0001f1eb\U0001f1f7 \u2764\ufe0f \U0001f3f4\u200d\u2620\ufe0f ok\U0001f44c!"),
    ("cjk", "\u4f60\u597d\uff0c\u4e16\u754c\u3002\u6f22\u5b57\u304b\u306a\u30ab\u30bf\u30ab\u30ca"
            "\uff76\uff85 \ud55c\uad6d\uc5b4 \u1112\u1161\u11ab \U00020000\U0002a6d6 "
            "\u300c\u5f15\u7528\u300d"),
    ("right to left", "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd! \u0645\u0631\u062d"
                      "\u0628\u0627 \u0628\u0643\u0645\u060c \u0661\u0662\u0663 \u05e9\u05b8"
                      "\u05c1 \u0640\u0640 \u202eabc\u202c \u200fx\u200e"),
    ("indic and thai", "\u0928\u092e\u0938\u094d\u0924\u0947 \u0915\u094d\u0937 \u0e2a\u0e27\u0e31"
                       "\u0e2a\u0e14\u0e35\u0e04\u0e23\u0e31\u0e1a \u1000\u103c\u102e"),
    ("greek and cyrillic", "\u0391\u03b2\u03b3 \u1f00\u03c1\u03c7\u1fc7 \u041f\u0440\u0438\u0432"
                           "\u0435\u0442, \u043c\u0438\u0440! \u0406\u0457"),
    ("mathematical letters", "\U0001d400\U0001d4b7\U0001d6fc \u2115 \uff21\uff42 \u210f"),
    ("unassigned and private", "\u0378 \ue000 \U000f0000 \uffff \U0010ffff \ufffd"),
    ("added token", "one<|endoftext|>two <|endoftext|> three<|endoftext|><|endoftext|>\n"),
    ("added token alone", "<|endoftext|>"),
    ("added token near misses", "<|endoftext| > <|ENDOFTEXT|> <endoftext> |endoftext| "
                                "<<|endoftext|>> <|endof<|endoftext|>text|>"),
    ("added token and blanks", "a  <|endoftext|>  b\n\n<|endoftext|>\n\nc 's<|endoftext|>'s"),
    ("code", "for (int i = 0; i < n; i++) {\n    a[i] += b[i] * 2;  // sum\n}\n"),
    ("address", "https://example.org/a?b=c&d=%20e#f user.name+tag@example.org"),
    ("long word", "a" * 40 + "Pneumonoultramicroscopicsilicovolcanoconiosis" + "-" * 30),
    ("long blanks", "x" + " " * 70 + "y" + "\n" * 20 + "z" + "\t" * 9),
    ("new letters", "\U0001e4d0\U00010d4a\U00011f04 \u1c89 \ua7cb \U0001e5d0"),
]
CASES_HEX = [("null", "a\0b \0 \0\0c")]


def command_tokens(args):
    texts = {}
    for name, path in (("calibration", args.calibration), ("evaluation", args.evaluation)):
        ids = encode(args, read_text(path))
        packed = struct.pack(f"<{len(ids)}i", *ids)
        texts[name] = {"count": len(ids), "sha256": hashlib.sha256(packed).hexdigest(),
                       "first": ids[:64]}
    cases = [{"name": name, "text": text, "ids": encode(args, text)} for name, text in CASES]
    joined = "\n".join(text for _name, text in CASES)
    raw = [{"name": name, "utf8_hex": text.encode().hex(), "ids": encode(args, text)}
           for name, text in CASES_HEX]
    import tokenizers
    write_json(args.out, {"what": TOKENS_WHAT, "tokenizers": tokenizers.__version__,
                            "notes": TOKENS_NOTES, "texts": texts, "cases": cases,
                            "joined_ids": encode(args, joined), "hex_cases": raw})
