//! The `toolgate` section: a plugin's self-description inside its signed bytes (docs/write-a-plugin.md). Parsed
//! strictly, since models read it: bounded, no duplicate or unknown keys. Only `toolgate pack` writes it.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use toolgate_base::json::{Json, JsonLimits};
use toolgate_mapping::schema::Mode;
use toolgate_policy::Capability;
use toolgate_policy::active::{self, Refusal};
use toolgate_policy::limits::load::{ICON_BYTES_MAX, ICONS_MAX, SECTION_BYTES_MAX};
use toolgate_policy::redact::printable;

/// A plugin's claims about a tool's effects. They count only where they make callers more careful.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Claims {
    /// Changes nothing.
    pub read_only: Option<bool>,
    /// May destroy something.
    pub destructive: Option<bool>,
    /// Calling it twice has the effect of calling it once.
    pub idempotent: Option<bool>,
    /// Interacts with external systems.
    pub open_world: Option<bool>,
}

/// An icon of a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Icon {
    /// Media type.
    pub mime: String,
    /// A `data:` URL.
    pub src: String,
}

/// Name of the custom section.
pub const SECTION: &str = "toolgate";

/// A plugin's self-description.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Manifest {
    /// Plugin id, which the operator's `id` must equal.
    pub id: Option<String>,
    /// Version, for people.
    pub version: Option<String>,
    /// Capabilities without which it does not work.
    pub requires: BTreeSet<Capability>,
    /// Texts for each tool, by export path.
    pub tools: BTreeMap<String, Texts>,
}

/// A plugin's texts for one tool.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Texts {
    /// Display name.
    pub title: Option<String>,
    /// Description.
    pub description: Option<String>,
    /// Texts for its parameters and result, by path: `city`, `city/name`, `return/temperature`.
    pub docs: BTreeMap<String, String>,
    /// Claims about its effects.
    pub claims: Claims,
    /// Presentation of its result.
    pub mode: Mode,
    /// Icons.
    pub icons: Vec<Icon>,
}

/// A section that is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("its `{SECTION}` section is refused: {0}")]
pub struct SectionError(pub String);

impl Manifest {
    /// Parses a section's content.
    ///
    /// # Errors
    /// [`SectionError`] for the first fault, with its place.
    pub fn read(bytes: &[u8]) -> Result<Self, SectionError> {
        let bounds = JsonLimits { bytes_max: SECTION_BYTES_MAX, depth_max: 16, nodes_max: 20_000 };
        let json = Json::parse(bytes, bounds).map_err(|error| SectionError(error.to_string()))?;
        let mut top = Part::of(json, "")?;
        match top.take("format") {
            Some(Json::Integer(1)) => {}
            _ => {
                return Err(SectionError(
                    "`format` is not 1; this release of Toolgate reads format 1".to_owned(),
                ));
            }
        }
        let manifest = Self {
            id: top.text("id")?,
            version: top.text("version")?,
            requires: requires(&mut top)?,
            tools: tools(&mut top)?,
        };
        top.end()?;
        Ok(manifest)
    }
}

fn requires(top: &mut Part) -> Result<BTreeSet<Capability>, SectionError> {
    let mut words = BTreeSet::new();
    for word in top.list("requires")? {
        let known = word.as_str().and_then(Capability::from_word);
        let word = known.ok_or_else(|| {
            SectionError(format!("`requires` has {}, which is not a capability", shown(&word)))
        })?;
        words.insert(word);
    }
    Ok(words)
}

fn tools(top: &mut Part) -> Result<BTreeMap<String, Texts>, SectionError> {
    let mut tools = BTreeMap::new();
    for (path, json) in top.table("tool")? {
        let place = format!("tool.{}", printable(&path, 200));
        let mut part = Part::of(json, &place)?;
        let mut docs = BTreeMap::new();
        for (of, text) in part.table("params")? {
            let Json::String(text) = text else {
                return Err(SectionError(format!("{place}.params.{} is not text", printable(&of, 200))));
            };
            docs.insert(of, text);
        }
        let texts = Texts {
            title: part.text("title")?,
            description: part.text("description")?,
            docs,
            claims: claims(&mut part, &place)?,
            mode: mode(&mut part, &place)?,
            icons: icons(&mut part, &place)?,
        };
        part.end()?;
        tools.insert(path, texts);
    }
    Ok(tools)
}

fn claims(part: &mut Part, place: &str) -> Result<Claims, SectionError> {
    let Some(json) = part.take("annotations") else { return Ok(Claims::default()) };
    let mut part = Part::of(json, &format!("{place}.annotations"))?;
    let claims = Claims {
        read_only: part.flag("read_only")?,
        destructive: part.flag("destructive")?,
        idempotent: part.flag("idempotent")?,
        open_world: part.flag("open_world")?,
    };
    part.end()?;
    Ok(claims)
}

fn mode(part: &mut Part, place: &str) -> Result<Mode, SectionError> {
    let (mode, mime) = (part.text("output")?, part.text("mime_type")?);
    let typed = |mime: Option<String>, prefix: &str| match mime {
        Some(mime) if active::media_type(&mime) == Err(Refusal::Active) => Err(SectionError(format!(
            "{place}.mime_type is {}, an active media type, which a client might run",
            printable(&mime, 100)
        ))),
        Some(mime) if mime.starts_with(prefix) && is_media_type(&mime) => Ok(mime),
        _ => Err(SectionError(format!(
            "{place}.mime_type is not a media type such as {prefix}…, which its output needs"
        ))),
    };
    match mode.as_deref() {
        Some("image") => Ok(Mode::Image(typed(mime, "image/")?)),
        Some("audio") => Ok(Mode::Audio(typed(mime, "audio/")?)),
        Some("blob") => Ok(Mode::Blob(typed(mime, "")?)),
        _ if mime.is_some() => {
            Err(SectionError(format!("{place}.mime_type goes with output = image, audio or blob only")))
        }
        None | Some("structured") => Ok(Mode::Structured),
        Some("text") => Ok(Mode::Text),
        Some(other) => Err(SectionError(format!(
            "{place}.output is `{}`; write structured, text, image, audio or blob",
            printable(other, 60)
        ))),
    }
}

/// Whether a text is a media type (RFC 6838 §4.2) without parameters.
fn is_media_type(text: &str) -> bool {
    let is_name = |name: &str| {
        (1..=127).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
    };
    text.split_once('/').is_some_and(|(kind, sub)| is_name(kind) && is_name(sub))
}

/// Icons must be `data:` URLs (RFC 2397): fetching one would reveal the viewer to its server.
fn icons(part: &mut Part, place: &str) -> Result<Vec<Icon>, SectionError> {
    let mut icons = Vec::new();
    for json in part.list("icons")? {
        let place = format!("{place}.icons");
        let Json::String(src) = json else {
            return Err(SectionError(format!("{place} has {}", json.kind())));
        };
        let known = ["image/png", "image/jpeg", "image/webp"];
        let split = src.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
        let is_icon =
            split.is_some_and(|(mime, data)| known.contains(&mime) && STANDARD.decode(data).is_ok());
        match split {
            Some((mime, _)) if is_icon && src.len() <= ICON_BYTES_MAX => {
                icons.push(Icon { mime: mime.to_owned(), src });
            }
            _ => {
                return Err(SectionError(format!(
                    "{place} are data:{};base64,… of at most {ICON_BYTES_MAX} bytes",
                    known.join("|")
                )));
            }
        }
    }
    if icons.len() > ICONS_MAX {
        Err(SectionError(format!("{place} has more than {ICONS_MAX} icons")))
    } else {
        Ok(icons)
    }
}

fn shown(json: &Json) -> String {
    printable(&json.text(), 60)
}

/// An object whose known keys are taken out one by one; the rest is unknown.
struct Part {
    json: Json,
    place: String,
}

impl Part {
    fn of(json: Json, place: &str) -> Result<Self, SectionError> {
        match json {
            Json::Object(_) => Ok(Self { json, place: place.to_owned() }),
            other => Err(SectionError(format!("{} is {}, not an object", named(place), other.kind()))),
        }
    }

    fn take(&mut self, key: &str) -> Option<Json> {
        self.json.take(key)
    }

    fn wrong(&self, key: &str, is: &Json, should: &str) -> SectionError {
        SectionError(format!("`{}` is {}, not {should}", self.key(key), is.kind()))
    }

    fn key(&self, key: &str) -> String {
        if self.place.is_empty() { key.to_owned() } else { format!("{}.{key}", self.place) }
    }

    fn text(&mut self, key: &str) -> Result<Option<String>, SectionError> {
        match self.take(key) {
            None => Ok(None),
            Some(Json::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong(key, &other, "a text")),
        }
    }

    fn flag(&mut self, key: &str) -> Result<Option<bool>, SectionError> {
        match self.take(key) {
            None => Ok(None),
            Some(Json::Bool(flag)) => Ok(Some(flag)),
            Some(other) => Err(self.wrong(key, &other, "true or false")),
        }
    }

    fn list(&mut self, key: &str) -> Result<Vec<Json>, SectionError> {
        match self.take(key) {
            None => Ok(Vec::new()),
            Some(Json::Array(list)) => Ok(list),
            Some(other) => Err(self.wrong(key, &other, "a list")),
        }
    }

    fn table(&mut self, key: &str) -> Result<Vec<(String, Json)>, SectionError> {
        match self.take(key) {
            None => Ok(Vec::new()),
            Some(Json::Object(members)) => Ok(members),
            Some(other) => Err(self.wrong(key, &other, "a table")),
        }
    }

    fn end(self) -> Result<(), SectionError> {
        match &self.json {
            Json::Object(members) => match members.first() {
                None => Ok(()),
                Some((key, _)) => Err(SectionError(format!(
                    "`{}` is not a key that is known here",
                    self.key(&printable(key, 100))
                ))),
            },
            _ => Ok(()),
        }
    }
}

fn named(place: &str) -> &str {
    if place.is_empty() { "it" } else { place }
}

/// Encodes the content of a section; equal values give equal bytes.
///
/// # Errors
/// [`SectionError`] if it would not parse.
pub fn write(content: &Value) -> Result<Vec<u8>, SectionError> {
    let bytes = serde_json_canonicalizer::to_vec(content).map_err(|error| SectionError(error.to_string()))?;
    Manifest::read(&bytes).map(|_| bytes)
}

/// Replaces the section, at the end of the component. Idempotent.
///
/// # Errors
/// [`SectionError`] if the bytes are not a sequence of sections.
pub fn put(component: &[u8], content: &[u8]) -> Result<Vec<u8>, SectionError> {
    /// Length of the preamble: magic, version, layer.
    const PREAMBLE: usize = 8;
    let broken = || SectionError("the component ends in the middle of a section".to_owned());
    let mut out = component.get(..PREAMBLE).ok_or_else(broken)?.to_vec();
    let mut rest = component.get(PREAMBLE..).unwrap_or_default();
    while let Some((id, after)) = rest.split_first() {
        let (length, after) = leb128(after).ok_or_else(broken)?;
        let body = after.get(..length).ok_or_else(broken)?;
        let ours =
            *id == 0 && leb128(body).is_some_and(|(n, name)| name.get(..n) == Some(SECTION.as_bytes()));
        let whole = rest.len() - after.len() + length;
        if !ours {
            out.extend_from_slice(rest.get(..whole).ok_or_else(broken)?);
        }
        rest = rest.get(whole..).unwrap_or_default();
    }
    let mut body = vec![];
    push_leb128(&mut body, SECTION.len());
    body.extend_from_slice(SECTION.as_bytes());
    body.extend_from_slice(content);
    out.push(0);
    push_leb128(&mut out, body.len());
    out.extend_from_slice(&body);
    Ok(out)
}

/// Decodes an unsigned LEB128 of at most 32 bits; returns it and the rest.
fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0u64;
    for (index, byte) in bytes.iter().enumerate().take(5) {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let value = u32::try_from(value).ok()?;
            return Some((value as usize, bytes.get(index + 1..)?));
        }
    }
    None
}

fn push_leb128(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        let [low, ..] = value.to_le_bytes();
        out.push(low | 0x80);
        value >>= 7;
    }
    let [low, ..] = value.to_le_bytes();
    out.push(low);
}
