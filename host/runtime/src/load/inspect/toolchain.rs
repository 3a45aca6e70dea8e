//! Which toolchain built a component, as far as that matters to whoever grants something: by what it says of itself in its
//! `producers` sections, and by what its runtime leaves in every component. A component can say what it likes; nothing comes of it but
//! another sentence in a message.

use toolgate_policy::load::toolchain::Toolchain;
use wasmtime::wasmparser::{BinaryReader, ImportSectionReader, ProducersSectionReader};

/// What was seen of it so far.
#[derive(Default)]
pub(super) struct Traces {
    /// By StarlingMonkey's.
    componentize_js: bool,
    /// By the program with which componentize-py keeps a started interpreter.
    snapshot: bool,
    /// Core modules that import something of `wasi:sockets`.
    opens_sockets: u32,
}

/// The custom section in which tools enter themselves.
pub(super) const SECTION: &str = "producers";

impl Traces {
    /// Looks at a `producers` section of the component itself. One that cannot be read says nothing.
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

    /// Looks at the imports of a core module.
    pub(super) fn imports(&mut self, imports: ImportSectionReader<'_>) {
        let mut imports = imports.into_imports().map_while(Result::ok);
        self.opens_sockets += u32::from(imports.any(|import| import.module.starts_with("wasi:sockets/")));
    }

    /// The toolchain, if what its runtime imports may be unused. `exports`: of the component.
    pub(super) fn toolchain(&self, exports: &[String]) -> Option<Toolchain> {
        if self.componentize_js {
            return Some(Toolchain::ComponentizeJs);
        }
        // The interface by which componentize-py starts its interpreter. Sockets are opened by Python's C library; where the bindings
        // of the plugin's own interface import them as well, its code was written to use them.
        let is_python = self.snapshot && exports.iter().any(|name| name == "exports");
        (is_python && self.opens_sockets == 1).then_some(Toolchain::ComponentizePy)
    }
}
