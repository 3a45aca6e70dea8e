//! Callers, targets and circumstances as entities and values of the language.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::str::FromStr as _;

use cedar_policy::{Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression};

use super::schema;
use crate::call::facts::{ArgumentFact, ArgumentType};
use crate::call::moment::Moment;
use crate::call::target::{PluginFacts, Target, TargetKind};
use crate::principal::{CallerIdentity, Principal, PrincipalKind};

/// A caller as an entity; made once for each.
#[derive(Debug)]
pub(in crate::call) struct Caller {
    pub(super) uid: EntityUid,
    pub(super) entity: Entity,
}

/// Names of the entity types.
#[derive(Debug)]
pub(super) struct Types {
    action: EntityTypeName,
    client: EntityTypeName,
    group: EntityTypeName,
    local: EntityTypeName,
    plugin: EntityTypeName,
    prompt: EntityTypeName,
    resource: EntityTypeName,
    service: EntityTypeName,
    signer: EntityTypeName,
    tenant: EntityTypeName,
    tool: EntityTypeName,
    user: EntityTypeName,
}

type Attributes = HashMap<String, RestrictedExpression>;

impl Types {
    pub(super) fn new() -> Result<Self, String> {
        let name = |text: &str| EntityTypeName::from_str(text).map_err(|error| error.to_string());
        Ok(Self {
            action: name("Action")?,
            client: name("Client")?,
            group: name("Group")?,
            local: name("Local")?,
            plugin: name("Plugin")?,
            prompt: name("Prompt")?,
            resource: name("Resource")?,
            service: name("Service")?,
            signer: name("Signer")?,
            tenant: name("Tenant")?,
            tool: name("Tool")?,
            user: name("User")?,
        })
    }

    pub(super) fn action(&self, name: &str) -> EntityUid {
        uid(&self.action, name)
    }

    /// The caller; `None` for the host, which no policy sees, and where an entity cannot be made.
    pub(super) fn caller(&self, principal: &Principal) -> Option<Caller> {
        let (kind, is_user) = match principal.kind() {
            PrincipalKind::Host => return None,
            PrincipalKind::Local => (&self.local, false),
            PrincipalKind::User => (&self.user, true),
            PrincipalKind::Service => (&self.service, false),
        };
        let mut parents = HashSet::from([uid(&self.tenant, principal.tenant().as_str())]);
        let (name, attributes) = match principal.identity() {
            None => (principal.name().to_owned(), Attributes::new()),
            Some(identity) => {
                parents.extend(identity.groups.iter().map(|group| uid(&self.group, group)));
                let name = format!("{}/{}", identity.issuer, identity.subject);
                (name, self.of_identity(identity, is_user))
            }
        };
        let uid = uid(kind, &name);
        let entity = Entity::new(uid.clone(), attributes, parents).ok()?;
        Some(Caller { uid, entity })
    }

    fn of_identity(&self, identity: &CallerIdentity, is_user: bool) -> Attributes {
        let mut attributes = Attributes::from([
            ("issuer".to_owned(), text(&identity.issuer)),
            ("scopes".to_owned(), texts(&identity.scopes)),
        ]);
        let client = identity.client.as_ref().map(|client| uid(&self.client, client));
        attributes
            .extend(client.map(|client| ("client".to_owned(), RestrictedExpression::new_entity_uid(client))));
        if is_user {
            attributes.insert("actors".to_owned(), texts(&identity.actors));
        }
        attributes
    }

    /// The target: its name, and its entity with those of its plugin and of the action.
    pub(super) fn target(
        &self,
        target: &Target,
        destructive: bool,
        action: &str,
    ) -> Option<(EntityUid, Entities)> {
        let facts = target.facts();
        let plugin = uid(&self.plugin, facts.name.as_str());
        let mut attributes = of_effects(facts);
        attributes.insert("plugin".to_owned(), RestrictedExpression::new_entity_uid(plugin.clone()));
        let own = match target.kind() {
            TargetKind::Tool(name) => {
                attributes.insert("destructive".to_owned(), RestrictedExpression::new_bool(destructive));
                uid(&self.tool, name.as_str())
            }
            TargetKind::Resource(uri) => {
                attributes.insert("uri".to_owned(), text(uri));
                uid(&self.resource, uri)
            }
            TargetKind::Prompt(name) => {
                attributes.insert("name".to_owned(), text(name));
                uid(&self.prompt, name)
            }
        };
        let mut entities = vec![
            Entity::new(own.clone(), attributes, HashSet::from([plugin.clone()])).ok()?,
            self.plugin(plugin, facts)?,
        ];
        if target.tool().is_some() && action != "call" {
            let call = HashSet::from([self.action("call")]);
            entities.push(Entity::new_no_attrs(self.action(action), call));
        }
        Some((own, Entities::from_entities(entities, None).ok()?))
    }

    fn plugin(&self, own: EntityUid, facts: &PluginFacts) -> Option<Entity> {
        let mut attributes = Attributes::from([
            ("digest".to_owned(), text(&facts.digest.to_string())),
            ("roles".to_owned(), texts(&facts.roles)),
        ]);
        attributes.extend(facts.version.as_ref().map(|version| ("version".to_owned(), text(version))));
        let signers = facts.signers.iter().map(|signer| uid(&self.signer, signer)).collect();
        Entity::new(own, attributes, signers).ok()
    }
}

/// The circumstances, with the arguments where there are some. Those that take time to make are there only if `read`
/// names them.
pub(super) fn context(
    moment: &Moment,
    read: &BTreeSet<String>,
    arguments: Option<RestrictedExpression>,
) -> Option<Context> {
    let mut pairs = vec![
        ("hour".to_owned(), RestrictedExpression::new_long(moment.hour.into())),
        ("weekday".to_owned(), RestrictedExpression::new_long(moment.weekday.into())),
        ("transport".to_owned(), text(moment.transport.word())),
    ];
    if read.contains("now") {
        pairs.push(("now".to_owned(), RestrictedExpression::new_datetime(moment.utc()?)));
    }
    let source = moment.canonical_source().filter(|_| read.contains("source"));
    pairs.extend(source.map(|it| ("source".to_owned(), RestrictedExpression::new_ip(it.to_string()))));
    pairs.extend(arguments.map(|arguments| ("args".to_owned(), arguments)));
    Context::from_pairs(pairs).ok()
}

/// The visible fields of a record; those that do not fit their types are left out, and the caller has to know.
pub(super) fn record(
    facts: &BTreeMap<String, ArgumentFact>,
    types: &BTreeMap<String, ArgumentType>,
    depth: usize,
) -> Option<RestrictedExpression> {
    let visible = types.iter().filter(|(name, kind)| schema::is_field(name, kind, depth));
    let fields =
        visible.filter_map(|(name, kind)| Some((name.clone(), value(facts.get(name)?, kind, depth)?)));
    RestrictedExpression::new_record(fields.collect::<Vec<_>>()).ok()
}

fn value(fact: &ArgumentFact, kind: &ArgumentType, depth: usize) -> Option<RestrictedExpression> {
    match (fact, kind) {
        (fact, ArgumentType::Optional(inner)) => value(fact, inner, depth),
        (ArgumentFact::Bool(it), ArgumentType::Bool) => Some(RestrictedExpression::new_bool(*it)),
        (ArgumentFact::Long(it), ArgumentType::Long) => Some(RestrictedExpression::new_long(*it)),
        (ArgumentFact::Text(it), ArgumentType::Text) => Some(text(it)),
        (ArgumentFact::Set(items), ArgumentType::Set(inner)) => {
            let items: Option<Vec<_>> = items.iter().map(|item| value(item, inner, depth + 1)).collect();
            items.map(RestrictedExpression::new_set)
        }
        (ArgumentFact::Record(fields), ArgumentType::Record(types)) => record(fields, types, depth + 1),
        _ => None,
    }
}

fn of_effects(facts: &PluginFacts) -> Attributes {
    let effects = facts.effects;
    Attributes::from([
        ("reads".to_owned(), RestrictedExpression::new_bool(effects.reads)),
        ("writes".to_owned(), RestrictedExpression::new_bool(effects.writes)),
        ("reaches_out".to_owned(), RestrictedExpression::new_bool(effects.reaches_out)),
        ("hosts".to_owned(), texts(&facts.hosts)),
    ])
}

fn uid(kind: &EntityTypeName, name: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(name))
}

fn text(text: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(text.to_owned())
}

fn texts<'a>(texts: impl IntoIterator<Item = &'a String>) -> RestrictedExpression {
    RestrictedExpression::new_set(texts.into_iter().map(|it| text(it)))
}

/// Names of arguments whose facts are not what their types say: a rule that reads one of them errs.
pub(super) fn unreadable<'a>(
    facts: &BTreeMap<String, ArgumentFact>,
    types: &'a BTreeMap<String, ArgumentType>,
) -> BTreeSet<&'a str> {
    let unmet = types.iter().filter(|(name, kind)| !kind.is_met_by(facts.get(*name)));
    unmet.map(|(name, _)| name.as_str()).collect()
}
