//! `[auth]`, `[[auth.issuer]]` and `[[tenant]]`: who may present what as a credential.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use toolgate_auth::AuthSettings;
use toolgate_auth::apikey::ApiKeys;
use toolgate_auth::challenge::ProtectedResource;
use toolgate_auth::issuer::{AudienceFrom, IssuerSpec, IssuerText, KeySource, TenantRule};
use toolgate_auth::profile::Profile;
use toolgate_auth::scope::ScopeHierarchy;
use toolgate_policy::limits::auth::{API_KEY_DAYS, ISSUERS_MAX, TENANTS_MAX};
use toolgate_policy::principal::Tenant;
use toolgate_signature::jws::JwsAlgorithm;
use url::Url;

use super::api_keys;
use super::problem::{ConfigError, Problem};
use super::reader::{Document, Section};

/// Authentication of callers.
#[derive(Clone)]
pub(crate) struct AuthConfig {
    /// The server as clients see it.
    pub(crate) resource: ProtectedResource,
    /// Issuers, keys and scopes.
    pub(crate) settings: AuthSettings,
    /// The tenants that there are.
    pub(crate) tenants: BTreeSet<Tenant>,
    /// Answer to a call that lacks a scope.
    pub(crate) step_up: StepUp,
    /// The file of API keys, if there is one.
    pub(crate) keys: Option<PathBuf>,
    /// Days for which a new API key may be good.
    pub(crate) key_days_max: u64,
}

/// Answer to a call that lacks a scope that its client can get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum StepUp {
    /// HTTP 403 with a challenge that names the scopes (RFC 6750 §3.1).
    #[default]
    Http,
    /// A result with `isError`, for clients that take a 403 for the end.
    InBand,
}

/// The tenants that there are: a closed list. Without `[[tenant]]` it is `default` alone.
pub(super) fn read_tenants(root: &Section<'_>) -> BTreeSet<Tenant> {
    let mut tenants = BTreeSet::from([Tenant::default()]);
    for section in root.sections("tenant", TENANTS_MAX) {
        let name = section.required("name", "acme");
        let tenant =
            name.and_then(|name| section.parsed("name", name.parse::<Tenant>().map_err(|error| error.why)));
        if let Some(tenant) = tenant
            && !tenants.insert(tenant.clone())
            && tenant != Tenant::default()
        {
            section.wrong("name", format!("`{tenant}` appears twice"));
        }
        section.finish();
    }
    tenants
}

/// Reads `[auth]`. Without it nobody is asked who they are.
pub(super) fn read(
    document: &Document<'_>,
    root: &Section<'_>,
    public_url: Option<&str>,
    tenants: &BTreeSet<Tenant>,
    files: &mut Vec<PathBuf>,
) -> Option<AuthConfig> {
    let section = root.section("auth")?;
    let scopes = section.strings("scopes").unwrap_or_default();
    let resource = match public_url {
        None => {
            let why = "needs [server] public_url: the address that clients use, such as \"https://tools.example.com\"";
            section.wrong_here(why);
            None
        }
        Some(url) => section
            .parsed("scopes", ProtectedResource::new(url, scopes, None, None).map_err(|error| error.why)),
    };
    let implies = section.section("implies").map(|section| read_implies(&section)).unwrap_or_default();
    let hierarchy = section.parsed("implies", ScopeHierarchy::new(implies).map_err(|error| error.why));
    let step_up = match section.string("step_up").as_deref() {
        None | Some("http") => StepUp::Http,
        Some("in-band") => StepUp::InBand,
        Some(other) => {
            section.wrong("step_up", format!("`{other}` is unknown; write \"http\" or \"in-band\""));
            StepUp::Http
        }
    };
    let key_days_max = section.integer("key_days_max");
    let key_days_max = key_days_max.and_then(|days| section.parsed("key_days_max", API_KEY_DAYS.check(days)));
    let key_days_max = key_days_max.unwrap_or(API_KEY_DAYS.default);
    let keys_file = section.string("keys").map(|path| document.relative(&path));
    let keys = keys_file.as_deref().map(|path| read_keys(path, key_days_max, tenants, document.problems));
    files.extend(keys_file.clone());
    let resource_url = resource.as_ref().map(ProtectedResource::resource);
    let mut issuers = Vec::new();
    for issuer in section.sections("issuer", ISSUERS_MAX) {
        let spec = read_issuer(document, &issuer, resource_url.as_deref(), tenants, files);
        issuers.extend(spec);
        issuer.finish();
    }
    if issuers.is_empty() && keys_file.is_none() && !section.has("issuer") {
        section.wrong_here("lets nobody in: write an [[auth.issuer]], or keys = \"keys.toml\"");
    }
    section.finish();
    let settings = AuthSettings { issuers, keys: keys.unwrap_or_default(), hierarchy: hierarchy? };
    Some(AuthConfig {
        resource: resource?,
        settings,
        tenants: tenants.clone(),
        step_up,
        keys: keys_file,
        key_days_max,
    })
}

impl AuthConfig {
    /// Scopes that a client can get by asking, for each issuer.
    pub(crate) fn obtainable(&self) -> BTreeMap<String, BTreeSet<String>> {
        let scopes = |issuer: &IssuerSpec| issuer.text().scopes.iter().cloned().collect();
        self.settings.issuers.iter().map(|issuer| (issuer.id().to_owned(), scopes(issuer))).collect()
    }

    /// The same with the present content of the file of API keys, if there is one.
    ///
    /// # Errors
    /// Everything that is wrong with that file.
    pub(crate) fn reread(&self) -> Result<Self, ConfigError> {
        let Some(path) = &self.keys else { return Ok(self.clone()) };
        let problems = ConfigError::default();
        let keys = read_keys(path, self.key_days_max, &self.tenants, &problems);
        super::whole(Some(keys), &problems).map(|keys| {
            let settings = AuthSettings { keys, ..self.settings.clone() };
            Self { settings, ..self.clone() }
        })
    }

    /// The metadata of this protected resource (RFC 9728 §3.2).
    pub(crate) fn metadata(&self) -> Vec<u8> {
        self.resource.metadata(self.settings.issuers.iter().map(|issuer| issuer.text().issuer.as_str()))
    }
}

fn read_implies(section: &Section<'_>) -> BTreeMap<String, BTreeSet<String>> {
    section.lists().into_iter().map(|(scope, implied)| (scope, implied.into_iter().collect())).collect()
}

fn read_keys(path: &Path, days_max: u64, tenants: &BTreeSet<Tenant>, problems: &ConfigError) -> ApiKeys {
    let rows = api_keys::read(path, problems);
    let note = |why: String| {
        problems.add(Problem { file: path.to_owned(), line: None, key: String::new(), why });
    };
    for row in rows.iter().filter(|row| !tenants.contains(&row.tenant)) {
        let why = format!("the key {} is for the tenant `{}`, which is not a [[tenant]]", row.id, row.tenant);
        note(why);
    }
    let longest = Duration::from_secs(days_max.saturating_mul(86_400));
    ApiKeys::new(rows, SystemTime::now(), longest).unwrap_or_else(|error| {
        note(format!("{}: {}", error.at, error.why));
        ApiKeys::default()
    })
}

fn read_issuer(
    document: &Document<'_>,
    section: &Section<'_>,
    resource: Option<&str>,
    tenants: &BTreeSet<Tenant>,
    files: &mut Vec<PathBuf>,
) -> Option<IssuerSpec> {
    let id = section.required("id", "corp");
    let issuer = section.required("issuer", "https://login.example.com/realms/corp");
    let audiences =
        section.strings("audiences").or_else(|| resource.map(|resource| vec![resource.to_owned()]));
    let mut text = IssuerText::new(id?, issuer?, audiences.unwrap_or_default());
    text.audience_from = match section.string("audience_from").as_deref() {
        None | Some("aud") => AudienceFrom::Audience,
        Some("client_id") => AudienceFrom::Client,
        Some(other) => {
            section.wrong("audience_from", format!("`{other}` is unknown; write \"aud\" or \"client_id\""));
            AudienceFrom::Audience
        }
    };
    if let Some(names) = section.strings("algorithms") {
        text.algorithms = names.iter().filter_map(|name| algorithm(section, name)).collect();
    }
    if let Some(name) = section.string("profile") {
        let known = Profile::ALL.map(Profile::name).join(", ");
        let profile = Profile::from_name(&name).ok_or_else(|| format!("`{name}` is unknown; known: {known}"));
        text.profile = section.parsed("profile", profile).unwrap_or_default();
    }
    text.scopes = section.strings("scopes").unwrap_or_default();
    text.groups = section.string("groups");
    text.tenant = read_tenant_rule(section, tenants)?;
    text.private = section.boolean("private").unwrap_or(false);
    text.ca = section.string("ca").map(|path| document.relative(&path));
    files.extend(text.ca.clone());
    if let Some(place) = section.string("jwks") {
        text.keys = match place.strip_prefix("file:") {
            Some(path) => KeySource::File(document.relative(path)),
            None => {
                let url = Url::parse(&place).map_err(|error| format!("`{place}` is not a URL: {error}"));
                KeySource::Url(section.parsed("jwks", url)?)
            }
        };
    }
    let number = |key| {
        section.integer(key).and_then(|value| {
            section.parsed(key, u64::try_from(value).map_err(|_| "write a whole number that is not negative"))
        })
    };
    if let Some(ms) = number("timeout_ms") {
        text.timeout = Duration::from_millis(ms);
    }
    text.clock_skew_s = number("clock_skew_s").unwrap_or(text.clock_skew_s);
    text.outage_s = number("outage_s").unwrap_or(text.outage_s);
    IssuerSpec::new(text).map_err(|error| section.wrong_here(error.why)).ok()
}

fn algorithm(section: &Section<'_>, name: &str) -> Option<JwsAlgorithm> {
    let known = JwsAlgorithm::ALL.map(JwsAlgorithm::name).join(", ");
    let unknown = || format!("`{name}` is not an algorithm that tokens may be signed with; known: {known}");
    section.parsed("algorithms", JwsAlgorithm::from_name(name).ok_or_else(unknown))
}

fn read_tenant_rule(section: &Section<'_>, tenants: &BTreeSet<Tenant>) -> Option<TenantRule> {
    let known = |key: &'static str, name: &str| {
        let tenant = section.parsed(key, name.parse::<Tenant>().map_err(|error| error.why))?;
        let is_known = tenants.contains(&tenant);
        if !is_known {
            section
                .wrong(key, format!("`{tenant}` is not a tenant; write [[tenant]] and name = \"{tenant}\""));
        }
        is_known.then_some(tenant)
    };
    let (fixed, claim) = (section.string("tenant"), section.string("tenant_claim"));
    let map = section.map("tenants");
    match (fixed, claim, map) {
        (None, None, None) => Some(TenantRule::Fixed(Tenant::default())),
        (Some(name), None, None) => known("tenant", &name).map(TenantRule::Fixed),
        (None, Some(claim), Some(map)) => {
            let tenants: Option<BTreeMap<String, Tenant>> =
                map.iter().map(|(value, name)| Some((value.clone(), known("tenants", name)?))).collect();
            Some(TenantRule::Claim { claim, tenants: tenants? })
        }
        _ => {
            section
                .wrong_here("write tenant = \"…\", or tenant_claim = \"…\" with tenants = { VALUE = \"…\" }");
            None
        }
    }
}
