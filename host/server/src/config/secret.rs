//! `[[secret]]`: secrets for outbound requests, and the places they are read from. The values themselves are never in
//! the configuration.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toolgate_base::secret::{Secret, SecretSource, SecretSpec};
use toolgate_policy::header::{changes_answer, is_same};
use toolgate_policy::limits::load::{SECRET_BYTES_MAX, SECRETS_MAX};
use zeroize::Zeroizing;

use super::modes;
use super::reader::{Document, Section};

/// The secrets, by name, with the files they were read from.
#[derive(Default)]
pub(super) struct Secrets {
    pub(super) by_name: BTreeMap<String, Arc<SecretSpec>>,
    pub(super) files: Vec<PathBuf>,
}

pub(super) fn read(document: &Document<'_>, root: &Section<'_>) -> Secrets {
    let mut secrets = Secrets::default();
    for section in root.sections("secret", SECRETS_MAX) {
        if let Some(spec) = read_one(document, &section, &mut secrets.files) {
            if secrets.by_name.contains_key(&spec.name) {
                let twice = format!("`{}` appears twice; give each secret a name of its own", spec.name);
                section.wrong("name", twice);
            }
            secrets.by_name.insert(spec.name.clone(), Arc::new(spec));
        }
        section.finish();
    }
    secrets
}

fn read_one(document: &Document<'_>, section: &Section<'_>, files: &mut Vec<PathBuf>) -> Option<SecretSpec> {
    let name = section.required("name", "example-token");
    let source = source(document, section);
    let header = section.string("header").unwrap_or_else(|| "authorization".to_owned()).to_ascii_lowercase();
    section.parsed("header", check_header(&header));
    let format = section.string("format").unwrap_or_else(|| "Bearer {}".to_owned());
    if format.matches("{}").count() != 1 || !format.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) {
        let why = r#"write visible ASCII with {} once, where the secret goes, such as "Bearer {}""#;
        section.wrong("format", why);
    }
    let source = source?;
    let value = match &source {
        SecretSource::File(path) => {
            files.push(path.clone());
            from_file(path)
        }
        SecretSource::Environment(name) => std::env::var(name)
            .map(Zeroizing::new)
            .map_err(|_| format!("the environment has no variable `{name}` that is text")),
        SecretSource::Credential(name) => credential(name),
    };
    let secret = value.and_then(|text| Secret::new(&text).map_err(|error| error.to_string()));
    match secret {
        Ok(value) => Some(SecretSpec { name: name?, source, header, format, value }),
        Err(why) => {
            section.wrong_here(format!("its value cannot be used: {why}"));
            None
        }
    }
}

fn source(document: &Document<'_>, section: &Section<'_>) -> Option<SecretSource> {
    let file = section.string("file").map(|path| SecretSource::File(document.relative(&path)));
    let environment = section.string("env").map(SecretSource::Environment);
    let credential = section.string("credential").map(SecretSource::Credential);
    let mut given = [file, environment, credential].into_iter().flatten();
    match (given.next(), given.next()) {
        (Some(source), None) => Some(source),
        _ => {
            section.wrong_here(r#"write one of file = "…", env = "…" or credential = "…""#);
            None
        }
    }
}

fn from_file(path: &Path) -> Result<Zeroizing<String>, String> {
    modes::read(path, SECRET_BYTES_MAX, modes::FileKind::Secret)
        .map_err(|why| format!("{}: {why}", path.display()))
}

/// systemd.exec(5), "Credentials".
fn credential(name: &str) -> Result<Zeroizing<String>, String> {
    if name.is_empty() || name.contains('/') || name == ".." {
        return Err(format!("`{name}` is not a name of a credential"));
    }
    let folder = std::env::var_os("CREDENTIALS_DIRECTORY");
    let folder = folder
        .ok_or("there is no $CREDENTIALS_DIRECTORY; start as a systemd service with LoadCredential=")?;
    from_file(&PathBuf::from(folder).join(name))
}

/// Checks a header name (RFC 9110 §5.1), and refuses those of the connection or of the request's target.
fn check_header(name: &str) -> Result<(), String> {
    const NEVER: [&str; 7] =
        ["host", "connection", "content-length", "transfer-encoding", "upgrade", "te", "trailer"];
    if changes_answer(name) {
        return Err(format!(
            "`{name}` would have a server answer in another form, in which a secret cannot be found; write a header such as Authorization"
        ));
    }
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    let is_name = !name.is_empty() && name.len() <= 128 && name.bytes().all(token);
    if is_name && !NEVER.iter().any(|never| is_same(name, never)) {
        return Ok(());
    }
    Err(format!("`{name}` is not a header that can carry a secret; write one such as Authorization"))
}
