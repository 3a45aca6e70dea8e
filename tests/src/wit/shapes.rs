//! Results of every shape with a long list in them, for [`super::repeat`].

use super::repeat::Repeated;

const NAMES: &str = "flags f { a, b, c, d, e, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z, aa, ab, ac, ad, ae, af, ag }";
const OPTIONS: &str = "record r { a: option<bool>, b: option<bool>, c: option<bool>, d: option<bool>, e: option<bool>, f: option<bool>, g: option<bool>, h: option<bool> }";
const ANSWER: &str = "
    enum role { user, assistant }
    record annotations { audience: list<role>, priority: option<f32>, last-modified: option<string> }
    record text { text: string, annotations: option<annotations> }
    record media { mime-type: string, data: list<u8>, annotations: option<annotations> }
    record link { uri: string, name: string, title: option<string>, description: option<string>,
        mime-type: option<string>, size: option<u64>, annotations: option<annotations> }
    variant body { text(string), blob(list<u8>) }
    record embedded { uri: string, mime-type: option<string>, body: body, annotations: option<annotations> }
    variant block { text(text), image(media), audio(media), link(link), embedded(embedded) }
    record answer { content: list<block>, structured: option<string> }";

/// A block of 112 bytes: an empty text.
const BLOCK: &[u8] = &[0; 112];

const fn list(
    name: &'static str,
    types: &'static str,
    result: &'static str,
    element: &'static [u8],
) -> Repeated {
    Repeated { name, types, result, element, ..Repeated::LIST }
}

/// A pointer to address 64, and a length of one.
const ONE: &[u8] = &[64, 0, 0, 0, 1, 0, 0, 0];

/// All shapes.
pub const ALL: &[Repeated] = &[
    list("bytes", "", "list<u8>", &[1]),
    list("small numbers", "", "list<s8>", &[1]),
    list("large numbers", "", "list<u64>", &[255; 8]),
    list("floats", "", "list<f64>", &[0, 0, 0, 0, 0, 0, 0xf0, 0x3f]),
    list("bools", "", "list<bool>", &[1]),
    list("chars", "", "list<char>", &[b'a', 0, 0, 0]),
    list("empty texts", "", "list<string>", &[0; 8]),
    list("short texts", "", "list<string>", ONE),
    list("empty lists", "", "list<list<s8>>", &[0; 8]),
    list("lists of one", "", "list<list<s8>>", ONE),
    list("bytes of one", "", "list<list<u8>>", ONE),
    Repeated {
        there: &[72, 0, 0, 0, 1, 0, 0, 0, 80, 0, 0, 0, 1, 0, 0, 0, 1],
        ..list("lists in lists", "", "list<list<list<list<s8>>>>", ONE)
    },
    list("tuples of one", "", "list<tuple<s8>>", &[1]),
    list("tuples of five", "", "list<tuple<s8, s8, s8, s8, s8>>", &[1; 5]),
    list("records of one", "record r { a: s8 }", "list<r>", &[1]),
    list("records of nothing", OPTIONS, "list<r>", &[0; 16]),
    list("nothings", "", "list<option<s8>>", &[0; 2]),
    list("somethings", "", "list<option<s8>>", &[1; 2]),
    list("options of options", "", "list<option<option<s8>>>", &[1; 3]),
    list("results", "", "list<result<s8, s8>>", &[0, 1]),
    list("results of nothing", "", "list<result>", &[0]),
    list("cases", "variant v { a, b(s8) }", "list<v>", &[0; 2]),
    list("cases with a value", "variant v { a, b(s8) }", "list<v>", &[1; 2]),
    list("names", "enum e { a, b }", "list<e>", &[1]),
    list("no flags", NAMES, "list<f>", &[0; 4]),
    list("all flags", NAMES, "list<f>", &[0xff; 4]),
    Repeated { head: &[1], at: &[4], ..list("an optional list", "", "option<list<s8>>", &[1]) },
    Repeated { head: &[0], at: &[4], ..list("a fallible list", "", "result<list<s8>, string>", &[1]) },
    Repeated { head: &[1], at: &[4], ..list("a list as error", "", "result<string, list<s8>>", &[1]) },
    Repeated { head: &[0], at: &[4], ..list("fallible bytes", "", "result<list<u8>, string>", &[1]) },
    Repeated { at: &[0, 8], ..list("two lists", "", "tuple<list<s8>, list<u8>>", &[1]) },
    list("a record", "record r { a: list<s8> }", "r", &[1]),
    Repeated { head: &[1], at: &[4], ..list("a variant", "variant v { a, b(list<s8>) }", "v", &[1]) },
    list("a text", "", "string", b"x"),
    list("a text of quotes", "", "string", b"\""),
    list("a text of controls", "", "string", &[1]),
    Repeated { head: &[0], at: &[4], ..list("a fallible text", "", "result<string, string>", b"x") },
    list("an answer", ANSWER, "answer", BLOCK),
    Repeated { head: &[0], at: &[4], ..list("a fallible answer", ANSWER, "result<answer, string>", BLOCK) },
];
