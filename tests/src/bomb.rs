//! Valid components within the size limits, built to take as much time, memory or code size as possible to compile.

use crate::guest::{leb128, wat};

/// A component with these core modules and one tool.
fn around(modules: &str) -> Vec<u8> {
    wat(&format!(
        r#"(component {modules}
        (core module $m (func (export "seven") (result i32) i32.const 7))
        (core instance $i (instantiate $m))
        (func (export "seven") (result u32) (canon lift (core func $i "seven"))))"#
    ))
}

/// Functions near the size limit, each one long computation that keeps all its values live.
pub fn huge_functions(count: usize) -> Vec<u8> {
    let [get, set, mul, rotl, eqz]: [u8; 5] = [0x20, 0x21, 0x7e, 0x89, 0x50];
    let [branch, nothing, end]: [u8; 3] = [0x04, 0x40, 0x0b];
    let mut body = vec![0];
    for n in 0..100_000 {
        // Sixteen values that stay live to the end, each computed from others.
        let [at, other, third] = [n % 16, (n + 5) % 16, (n + 11) % 16].map(|local: u32| local as u8);
        body.extend([get, other, get, third, mul, get, at, rotl, set, at]);
        if n % 50 == 0 {
            body.extend([get, at, eqz, branch, nothing, get, other, set, third, end]);
        }
    }
    body.push(end);
    within(&module(&[[I64; 16].to_vec()], count, &body))
}

/// Functions with one jump table of many targets.
pub fn huge_tables(count: usize, places: usize) -> Vec<u8> {
    // Encoded directly, since parsing it as text would be slow.
    let mut body = vec![0];
    let blocks = 100;
    body.extend([0x02, 0x40].repeat(blocks));
    body.extend([0x20, 0x00, 0x0e]);
    body.extend(leb128(places));
    body.extend((0..places).map(|n| (n % blocks) as u8));
    body.push(0);
    body.extend([0x0b].repeat(blocks));
    body.push(0x0b);
    within(&module(&[vec![I32]], count, &body))
}

/// Functions with deeply nested blocks.
pub fn deep_blocks(count: usize, depth: usize) -> Vec<u8> {
    let mut body = vec![0];
    body.extend([0x02, 0x40].repeat(depth));
    body.extend([0x0b].repeat(depth));
    body.push(0x0b);
    within(&module(&[vec![I32]], count, &body))
}

/// Many functions, each with a type of its own.
pub fn many_types(count: usize) -> Vec<u8> {
    let params = |n: usize| (0..16).map(|bit| if n >> bit & 1 == 0 { I32 } else { I64 }).collect();
    let types: Vec<Vec<u8>> = (0..count).map(params).collect();
    within(&module(&types, count, &[0, 0x0b]))
}

/// Memories with a byte at each end: small here, 64 MiB of data when compiled.
pub fn wide_memories(count: usize) -> Vec<u8> {
    let module =
        r#"(core module (memory 1024) (data (i32.const 0) "\01") (data (i32.const 67108800) "\01"))"#;
    around(&module.repeat(count))
}

/// Encodings of number types.
const I32: u8 = 0x7f;
const I64: u8 = 0x7e;

/// A core module of `count` functions with this body: one of each type, given by its parameters, or all of one.
fn module(types: &[Vec<u8>], count: usize, body: &[u8]) -> Vec<u8> {
    let section = |id: u8, content: Vec<u8>| [vec![id], leb128(content.len()), content].concat();
    let of_type = |params: &Vec<u8>| [vec![0x60], leb128(params.len()), params.clone(), vec![0]].concat();
    let all = types.iter().map(of_type).collect::<Vec<_>>().concat();
    let of_function = (0..count).map(|n| leb128(n.min(types.len() - 1))).collect::<Vec<_>>().concat();
    let types = section(1, [leb128(types.len()), all].concat());
    let functions = section(3, [leb128(count), of_function].concat());
    let one = [leb128(body.len()), body.to_vec()].concat();
    let code = section(10, [leb128(count), one.repeat(count)].concat());
    [b"\0asm\x01\0\0\0".to_vec(), types, functions, code].concat()
}

/// A component with one tool and this core module.
fn within(module: &[u8]) -> Vec<u8> {
    let mut component = around("");
    component.push(1);
    component.extend(leb128(module.len()));
    component.extend(module);
    component
}
