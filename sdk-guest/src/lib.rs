//! Optional helpers for Toolgate plugins in Rust that want more than typed functions. Any component with plain exported
//! functions is a plugin without them.
//!
//! - [`progress()`] reports progress, [`log`] writes to the operator's log, [`is_cancelled`] checks for cancellation.
//! - [`Answer`] is an answer made of content blocks: text, images, audio, links, resources.
//! - [`DynamicTools`] declares tools at run time; export it with [`export_dynamic_tools!`].
//!
//! A function answers with [`Answer`] if its WIT says so: use the type from `toolgate:plugin/content`, and map it to
//! this crate in `wit_bindgen`:
//!
//! ```ignore
//! wit_bindgen::generate!({
//!     inline: "
//!         package acme:weather;
//!         world weather {
//!             use toolgate:plugin/content@0.1.0.{answer};
//!             export chart: func(city: string) -> result<answer, string>;
//!         }",
//!     path: "wit",  // a folder that holds the package toolgate:plugin
//!     with: { "toolgate:plugin/content@0.1.0": toolgate_guest::content },
//! });
//! ```
//!
//! `examples/weather.rs` is a complete plugin.

#[doc(hidden)]
pub mod bindings {
    #![allow(missing_docs, reason = "generated")]

    wit_bindgen::generate!({
        path: "../wit/toolgate-plugin",
        world: "plugin",
        pub_export_macro: true,
        default_bindings_module: "toolgate_guest::bindings",
        export_macro_name: "__export",
    });
}

pub use bindings::exports::toolgate::plugin::dynamic_tools::{Guest as DynamicTools, Hints, Tool};
pub use bindings::toolgate::plugin::content;
pub use bindings::toolgate::plugin::log::Level;
pub use content::{Annotations, Answer, Block, Role};

use bindings::toolgate::plugin;

/// Reports progress. `progress` must grow from report to report; other reports are not passed on.
pub fn progress(progress: f64, total: Option<f64>, message: Option<&str>) {
    plugin::progress::report(progress, total, message);
}

/// Writes a line to the operator's log. It counts against `log_bytes_max`.
pub fn log(level: Level, message: &str) {
    plugin::log::write(level, message);
}

/// Whether the caller has cancelled the call. The host ends it half a second later in any case.
pub fn is_cancelled() -> bool {
    plugin::cancelled::is_cancelled()
}

/// A text block.
pub fn text(text: impl Into<String>) -> Block {
    Block::Text(content::Text { text: text.into(), annotations: None })
}

/// An image block of a media type, such as `image/png`.
pub fn image(mime_type: &str, data: Vec<u8>) -> Block {
    Block::Image(content::Media { mime_type: mime_type.to_owned(), data, annotations: None })
}

/// An audio block of a media type, such as `audio/wav`.
pub fn audio(mime_type: &str, data: Vec<u8>) -> Block {
    Block::Audio(content::Media { mime_type: mime_type.to_owned(), data, annotations: None })
}

/// A block with a link to a resource.
pub fn link(uri: &str, name: &str) -> Block {
    Block::Link(content::Link {
        uri: uri.to_owned(),
        name: name.to_owned(),
        title: None,
        description: None,
        mime_type: None,
        size: None,
        annotations: None,
    })
}

/// A block with an embedded text resource.
pub fn resource(uri: &str, mime_type: Option<&str>, text: impl Into<String>) -> Block {
    Block::Embedded(content::Embedded {
        uri: uri.to_owned(),
        mime_type: mime_type.map(str::to_owned),
        body: content::Body::Text(text.into()),
        annotations: None,
    })
}

/// Annotates a block with its audience, and its priority from 0 to 1.
pub fn annotated(mut block: Block, audience: &[Role], priority: Option<f32>) -> Block {
    let annotations = Annotations { audience: audience.to_vec(), priority, last_modified: None };
    let place = match &mut block {
        Block::Text(text) => &mut text.annotations,
        Block::Image(media) | Block::Audio(media) => &mut media.annotations,
        Block::Link(link) => &mut link.annotations,
        Block::Embedded(embedded) => &mut embedded.annotations,
    };
    *place = Some(annotations);
    block
}

impl From<Vec<Block>> for Answer {
    fn from(content: Vec<Block>) -> Self {
        Self { content, structured: None }
    }
}

impl From<Block> for Answer {
    fn from(block: Block) -> Self {
        vec![block].into()
    }
}

/// Exports a type that implements [`DynamicTools`].
#[macro_export]
macro_rules! export_dynamic_tools {
    ($tools:ident) => {
        $crate::bindings::__export!($tools with_types_in $crate::bindings);
    };
}
