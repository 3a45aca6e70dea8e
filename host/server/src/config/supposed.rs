//! Callers that are made up for questions about access rules, and files of such questions with their expected answers.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use toolgate_auth::scope::ScopeHierarchy;
use toolgate_policy::call::VerdictWord;
use toolgate_policy::limits::rules::POLICY_CASES_MAX;
use toolgate_policy::principal::{API_KEY_ISSUER, CallerIdentity, IdentityKind, Tenant};

use super::auth::AuthConfig;
use super::problem::ConfigError;
use super::reader::{Document, Section};

/// A caller of a question about rules.
#[derive(Debug, Clone)]
pub(crate) struct SupposedCaller {
    /// The caller.
    pub(crate) origin: CallerOrigin,
    /// Address that it calls from.
    pub(crate) source: Option<IpAddr>,
    /// Time of its call; now if absent.
    pub(crate) time: Option<Timestamp>,
}

/// Whether a caller has a credential.
#[derive(Debug, Clone)]
pub(crate) enum CallerOrigin {
    /// The user of this machine, over stdio or the command line.
    Local,
    /// The holder of a credential.
    Identified(CallerIdentity),
}

/// One question with its expected answer.
#[derive(Debug)]
pub(crate) struct PolicyCase {
    /// Line of the file.
    pub(crate) line: usize,
    /// The caller.
    pub(crate) caller: SupposedCaller,
    /// The tool, by its name.
    pub(crate) tool: String,
    /// Arguments as JSON, if the rules about them are asked.
    pub(crate) args: Option<String>,
    /// The answer.
    pub(crate) expect: ExpectedVerdict,
}

/// The answer that a question should have.
#[derive(Debug)]
pub(crate) struct ExpectedVerdict {
    /// The verdict.
    pub(crate) verdict: VerdictWord,
    /// Rules that should decide, if the question says so.
    pub(crate) by: Option<BTreeSet<String>>,
}

impl SupposedCaller {
    /// The user of this machine, now.
    pub(crate) fn local() -> Self {
        Self { origin: CallerOrigin::Local, source: None, time: None }
    }

    /// Reads a caller: `local`, or the path of a file.
    ///
    /// # Errors
    /// Everything that is wrong with the file.
    pub(crate) fn read(who: &str, auth: Option<&AuthConfig>) -> Result<Self, ConfigError> {
        if who == LOCAL {
            return Ok(Self::local());
        }
        let problems = ConfigError::default();
        super::whole(read_file(&super::absolute(Path::new(who)), auth, &problems), &problems)
    }
}

impl PolicyCase {
    /// Reads a file of questions.
    ///
    /// # Errors
    /// Everything that is wrong with it and with the files that it names.
    pub(crate) fn read_all(path: &Path, auth: Option<&AuthConfig>) -> Result<Vec<Self>, ConfigError> {
        let problems = ConfigError::default();
        let document = Document::read(&super::absolute(path), &problems);
        let cases = document.map(|document| {
            let lines = document.lines();
            let root = document.root();
            let sections = root.sections("case", POLICY_CASES_MAX).into_iter().enumerate();
            let cases = sections.filter_map(|(index, section)| {
                let line = lines.get(&format!("case[{index}]")).copied().unwrap_or_default();
                read_case(&document, section, line, auth)
            });
            let cases: Vec<Self> = cases.collect();
            root.finish();
            cases
        });
        super::whole(cases, &problems)
    }
}

/// Word for the user of this machine.
const LOCAL: &str = "local";

fn read_file(path: &Path, auth: Option<&AuthConfig>, problems: &ConfigError) -> Option<SupposedCaller> {
    Document::read(path, problems).and_then(|document| read_caller(document.root(), auth))
}

fn read_case(
    document: &Document<'_>,
    section: Section<'_>,
    line: usize,
    auth: Option<&AuthConfig>,
) -> Option<PolicyCase> {
    let caller = if !section.has("as") {
        section.ask("as");
        section.wrong_here(
            "has no `as`; write as = \"local\", as = \"alice.toml\" or as = { kind = \"user\", … }",
        );
        None
    } else if section.is_text("as") {
        section.string("as").and_then(|who| match who.as_str() {
            LOCAL => Some(SupposedCaller::local()),
            file => {
                let path: PathBuf = document.relative(file);
                read_file(&path, auth, document.problems)
            }
        })
    } else {
        section.section("as").and_then(|who| read_caller(who, auth))
    };
    let tool = section.required("tool", "tickets_search");
    let args = section.json("args").map(|args| serde_json::Value::Object(args).to_string());
    let verdict = section.required("expect", "permit").and_then(|word| {
        let all = [VerdictWord::Permit, VerdictWord::Deny, VerdictWord::Scope, VerdictWord::Hidden];
        let found = all.into_iter().find(|verdict| verdict.as_str() == word);
        let wrong = || format!("`{word}` is unknown; write \"permit\", \"deny\", \"scope\" or \"hidden\"");
        section.parsed("expect", found.ok_or_else(wrong))
    });
    let by = if section.is_text("by") {
        section.string("by").map(|one| BTreeSet::from([one]))
    } else {
        section.strings("by").map(BTreeSet::from_iter)
    };
    section.finish();
    let expect = ExpectedVerdict { verdict: verdict?, by };
    Some(PolicyCase { line, caller: caller?, tool: tool?, args, expect })
}

fn read_caller(section: Section<'_>, auth: Option<&AuthConfig>) -> Option<SupposedCaller> {
    let kind = section.required("kind", "user");
    let source = section.string("source").and_then(|text| {
        let wrong = |_| format!("`{text}` is not an IP address; write one such as 10.20.0.7");
        section.parsed("source", text.parse::<IpAddr>().map_err(wrong))
    });
    let time = section.time("time");
    let kind = match kind?.as_str() {
        LOCAL => {
            section.finish();
            return Some(SupposedCaller { origin: CallerOrigin::Local, source, time });
        }
        "user" => IdentityKind::User,
        "service" => IdentityKind::Service,
        other => {
            let why = format!("`{other}` is unknown; write \"user\", \"service\" or \"local\"");
            section.wrong("kind", why);
            return None;
        }
    };
    let identity = read_identity(&section, kind, auth);
    section.finish();
    Some(SupposedCaller { origin: CallerOrigin::Identified(identity?), source, time })
}

fn read_identity(
    section: &Section<'_>,
    kind: IdentityKind,
    auth: Option<&AuthConfig>,
) -> Option<CallerIdentity> {
    let issuer = section.required("issuer", "corp");
    let subject = section.required("subject", "alice");
    let client = section.string("client");
    let tenant = section.string("tenant").map(|name| name.parse::<Tenant>().map_err(|error| error.why));
    let tenant = tenant.map_or(Some(Tenant::default()), |tenant| section.parsed("tenant", tenant));
    let groups: BTreeSet<String> = section.strings("groups").unwrap_or_default().into_iter().collect();
    let scopes: BTreeSet<String> = section.strings("scopes").unwrap_or_default().into_iter().collect();
    let Some(auth) = auth else {
        section.wrong_here("has a credential, but there is no [auth], so that every caller is `local`");
        return None;
    };
    let (issuer, tenant) = (issuer?, tenant?);
    let ids: Vec<&str> = auth.settings.issuers.iter().map(|issuer| issuer.id()).collect();
    if issuer != API_KEY_ISSUER && !ids.contains(&issuer.as_str()) {
        let known = ids.into_iter().chain([API_KEY_ISSUER]).collect::<Vec<_>>().join(", ");
        section.wrong("issuer", format!("`{issuer}` is not the id of an [[auth.issuer]]; known: {known}"));
    }
    if !auth.tenants.contains(&tenant) {
        section.wrong("tenant", format!("`{tenant}` is not a [[tenant]] of the configuration"));
    }
    for group in &groups {
        if group.strip_prefix(issuer.as_str()).and_then(|rest| rest.strip_prefix('/')).is_none() {
            let why =
                format!("`{group}` is not a group of `{issuer}`; write it as rules do: \"{issuer}/{group}\"");
            section.wrong("groups", why);
        }
    }
    for scope in &scopes {
        section.parsed("scopes", toolgate_auth::scope::check(scope).map_err(|error| error.why));
    }
    let hierarchy: &ScopeHierarchy = &auth.settings.hierarchy;
    Some(CallerIdentity {
        kind,
        issuer,
        subject: subject?,
        client,
        tenant,
        groups,
        scopes: hierarchy.close(scopes),
        actors: section.strings("actors").unwrap_or_default(),
        tools: None,
    })
}
