//! `toolgate inspect --clients`: the tools that each client accepts, and the reasons why it refuses the others.

use serde_json::{Value, json};
use toolgate_mapping::clients::{CLIENTS, Client, Refusal};
use toolgate_policy::redact::printable;
use toolgate_runtime::snapshot::tool::ToolListing;

/// One client's acceptance of a plugin's tools.
pub(super) struct Verdict<'a> {
    client: Client,
    takes: Vec<&'a str>,
    refuses: Vec<(&'a str, Vec<Refusal>)>,
    /// More tools than the client accepts.
    too_many: bool,
}

/// The verdict of each client on these tools.
pub(super) fn verdicts(listings: &[ToolListing]) -> Vec<Verdict<'_>> {
    let of = |client: Client| {
        let judged = listings.iter().map(|listing| {
            let name = listing.name.as_str();
            (name, client.refuses(name, &listing.input, listing.output.as_ref()))
        });
        let (takes, refuses): (Vec<_>, Vec<_>) = judged.partition(|(_, refusals)| refusals.is_empty());
        let takes = takes.into_iter().map(|(name, _)| name).collect();
        let too_many = client.tools_max.is_some_and(|most| listings.len() > most);
        Verdict { client, takes, refuses, too_many }
    };
    CLIENTS.into_iter().map(of).collect()
}

impl Verdict<'_> {
    /// As lines of text.
    pub(super) fn lines(&self) -> Vec<String> {
        let Self { client, takes, refuses, .. } = self;
        let word = client.word;
        let what = match (takes.len(), refuses.len()) {
            (0, 0) => "there is no tool".to_owned(),
            (1, 0) => "takes the tool".to_owned(),
            (all, 0) => format!("takes all {all} tools"),
            (some, not) => format!("takes {some} of {} tools", some + not),
        };
        let mut lines = vec![format!("client     {word}: {what} ({})", client.title)];
        if let Some(most) = client.tools_max.filter(|_| self.too_many) {
            let what = format!("more than {most} tools: it takes no more of all servers together");
            lines.push(format!("           {what}"));
        }
        for (name, refusals) in refuses {
            for Refusal { what, at, .. } in refusals {
                lines.push(format!("           refuses {name}: {what} at {at}"));
            }
        }
        lines
    }

    /// As JSON.
    pub(super) fn json(&self) -> Value {
        let refused = |(name, refusals): &(&str, Vec<Refusal>)| {
            let why = |refusal: &Refusal| json!({ "at": refusal.at, "what": refusal.what });
            json!({ "tool": printable(name, 100), "why": refusals.iter().map(why).collect::<Vec<_>>() })
        };
        json!({
            "client": self.client.word,
            "title": self.client.title,
            "toolsMax": self.client.tools_max,
            "tooMany": self.too_many,
            "takes": self.takes,
            "refuses": self.refuses.iter().map(refused).collect::<Vec<_>>(),
        })
    }
}
