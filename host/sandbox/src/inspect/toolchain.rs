//! Detection of the toolchain that built a component, from its `producers` section and traces of its runtime. A
//! component can forge both; the result only adds a sentence to a message.

use toolgate_policy::load::toolchain::Toolchain;
use wasmtime::wasmparser::{BinaryReader, ImportSectionReader, ProducersSectionReader};

/// Traces found so far.
#[derive(Default)]
pub(super) struct Traces {
    /// ComponentizeJS, which embeds StarlingMonkey.
    componentize_js: bool,
    /// The tool with which componentize-py snapshots a started interpreter.
    snapshot: bool,
    /// Number of core modules that import from `wasi:sockets`.
    opens_sockets: u32,
}

/// Custom section in which tools record themselves.
pub(super) const SECTION: &str = "producers";

impl Traces {
    /// Reads the component's own `producers` section; ignores a malformed one.
    pub(super) fn producers(&mut self, data: &[u8]) {
        const FIELDS_MAX: usize = 8;
        const VALUES_MAX: usize = 64;
        let Ok(fields) = ProducersSectionReader::new(BinaryReader::new(data, 0)) else { return };
        let fields = fields.into_iter().take(FIELDS_MAX).map_while(Result::ok);
        for value in fields.flat_map(|field| field.values.into_iter().take(VALUES_MAX).map_while(Result::ok))
        {
            self.componentize_js |= value.name == "ComponentizeJS";
            self.snapshot |= matches!(value.name, "component-init-transform" | "componentize-py");
        }
    }

    /// Reads the imports of a core module.
    pub(super) fn imports(&mut self, imports: ImportSectionReader<'_>) {
        let mut imports = imports.into_imports().map_while(Result::ok);
        self.opens_sockets += u32::from(imports.any(|import| import.module.starts_with("wasi:sockets/")));
    }

    /// The toolchain, if its runtime may import interfaces that the plugin does not use. `exports` are the component's.
    pub(super) fn toolchain(&self, exports: &[String]) -> Option<Toolchain> {
        if self.componentize_js {
            return Some(Toolchain::ComponentizeJs);
        }
        // componentize-py starts its interpreter through the interface `exports`. Python's C library imports sockets;
        // if the bindings of the plugin's own interface import them as well, its code uses them.
        let is_python = self.snapshot && exports.iter().any(|name| name == "exports");
        (is_python && self.opens_sockets == 1).then_some(Toolchain::ComponentizePy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Vec<u8> {
        [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
    }

    fn producers(tool: &str) -> Vec<u8> {
        [vec![1], text("processed-by"), vec![1], text(tool), text("0.1.0")].concat()
    }

    fn imports(module: &str) -> Vec<u8> {
        [vec![1], text(module), text("f"), vec![0, 0]].concat()
    }

    fn toolchain(tool: &str, modules: &[&str], exports: &[&str]) -> Option<Toolchain> {
        let mut traces = Traces::default();
        traces.producers(&producers(tool));
        for module in modules {
            let section = imports(module);
            traces.imports(ImportSectionReader::new(BinaryReader::new(&section, 0)).unwrap());
        }
        let exports: Vec<String> = exports.iter().map(|&name| name.to_owned()).collect();
        traces.toolchain(&exports)
    }

    #[test]
    fn sockets_come_from_pythons_toolchain_alone_unless_the_bindings_import_them_as_well() {
        let python = |modules: &[&str]| toolchain("component-init-transform", modules, &["exports", "a:b/c"]);
        let (libc, other) = ("wasi:sockets/tcp@0.2.0", "wasi:clocks/wall-clock@0.2.0");
        assert_eq!(python(&[other, libc, other]), Some(Toolchain::ComponentizePy));
        assert_eq!(python(&[libc, "wasi:sockets/udp@0.2.0"]), None, "its own code uses them");
        assert_eq!(python(&[other]), None, "it imports none");
        assert_eq!(
            toolchain("component-init-transform", &[libc], &["a:b/c"]),
            None,
            "something else's snapshot"
        );
        assert_eq!(toolchain("wit-component", &[libc], &["exports"]), None);
        assert_eq!(toolchain("ComponentizeJS", &[], &[]), Some(Toolchain::ComponentizeJs));
    }
}
