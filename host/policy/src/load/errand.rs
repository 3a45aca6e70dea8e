//! Requests of the host's own, for components that its operator named. Which host one may reach, where an answer may lead
//! it, and whether credentials go with it is decided here; sending it is egress's.

use crate::address::{Host, Reach};
use crate::limits::load::REDIRECTS_MAX;
use crate::request::{Malformed, Scheme, Target};

/// A request that may be sent. Made here only, from what the operator wrote and where that led.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Errand {
    home: Home,
    target: Target,
    redirects: usize,
    credentials: bool,
}

/// The host that the operator wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Home {
    scheme: Scheme,
    host: Host,
    port: u16,
    private: bool,
}

/// How far an answer may lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follow {
    /// To other paths of the same scheme, host and port.
    Home,
    /// To other hosts as well, without credentials: what comes from there is known by its digest.
    Elsewhere,
}

/// Why a request is not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoErrand {
    /// It is no URL.
    #[error("use {0}: {1}")]
    Malformed(String, Malformed),
    /// It would go over the network in the clear.
    #[error("use {0}: plain http goes to this machine only; write https")]
    Plain(String),
    /// It leads to another host.
    #[error("follow a redirect to {0}: it is another host; if that is meant, write it as the source")]
    Elsewhere(String),
    /// It leads on and on.
    #[error("follow a redirect to {0}: there were {REDIRECTS_MAX} before it")]
    TooMany(String),
}

impl Errand {
    /// A request to what the operator wrote. With `private` it and what it leads to may lie in a private network; else only
    /// a host of this machine may, and only by being written.
    ///
    /// # Errors
    /// [`NoErrand::Malformed`], [`NoErrand::Plain`].
    pub fn new(method: &str, url: &str, private: bool) -> Result<Self, NoErrand> {
        let target = parse(method, url)?;
        let home =
            Home { scheme: target.scheme(), host: target.host().clone(), port: target.port(), private };
        Ok(Self { home, target, redirects: 0, credentials: true })
    }

    /// Another request to the same host.
    ///
    /// # Errors
    /// [`NoErrand::Malformed`].
    pub fn at(&self, method: &str, path_and_query: &str) -> Result<Self, NoErrand> {
        Self::new(method, &format!("{}{path_and_query}", self.home.base()), self.home.private)
    }

    /// The request to which a `Location` leads: a whole URL, or a path of the same host. Another host never gets credentials,
    /// and must be outside private networks unless the operator opened them.
    ///
    /// # Errors
    /// [`NoErrand`].
    pub fn led_to(&self, method: &str, location: &str, follow: Follow) -> Result<Self, NoErrand> {
        let target = match location.starts_with('/') && !location.starts_with("//") {
            true => parse(method, &format!("{}{location}", base(&self.target)))?,
            false => parse(method, location)?,
        };
        if self.redirects >= REDIRECTS_MAX {
            return Err(NoErrand::TooMany(target.url()));
        }
        let at_home = self.home.is(&target);
        if !at_home && follow == Follow::Home {
            return Err(NoErrand::Elsewhere(target.url()));
        }
        // Whoever left does not come home with credentials: somebody else chose the path.
        let credentials = at_home && self.credentials;
        Ok(Self { home: self.home.clone(), target, redirects: self.redirects + 1, credentials })
    }

    /// A request to the service that gives tokens for the host. It may get the credentials that the operator keeps for that
    /// service by name, and no others.
    ///
    /// # Errors
    /// [`NoErrand::Malformed`], [`NoErrand::Plain`].
    pub fn service(&self, url: &str) -> Result<Self, NoErrand> {
        Ok(Self { home: self.home.clone(), target: parse("GET", url)?, redirects: 0, credentials: true })
    }

    /// The request.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Which addresses it may connect to.
    pub fn reach(&self) -> Reach {
        match self.home.private || (self.home.is(&self.target) && self.home.host.is_loopback()) {
            true => Reach::Private,
            false => Reach::Global,
        }
    }

    /// Whether credentials may go with it: those kept for the authority of its target.
    pub fn takes_credentials(&self) -> bool {
        self.credentials
    }
}

impl Home {
    fn is(&self, target: &Target) -> bool {
        (self.scheme, &self.host, self.port) == (target.scheme(), target.host(), target.port())
    }

    fn base(&self) -> String {
        format!("{}://{}:{}", self.scheme, self.host, self.port)
    }
}

fn base(target: &Target) -> String {
    format!("{}://{}", target.scheme(), target.authority())
}

fn parse(method: &str, url: &str) -> Result<Target, NoErrand> {
    let shown = || crate::redact::printable(url, 300);
    let target = Target::from_url(method, url).map_err(|why| NoErrand::Malformed(shown(), why))?;
    match target.scheme() {
        Scheme::Http if !target.host().is_loopback() => Err(NoErrand::Plain(target.url())),
        Scheme::Http | Scheme::Https => Ok(target),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(url: &str) -> Errand {
        Errand::new("GET", url, false).unwrap()
    }

    fn led(from: &str, location: &str, follow: Follow) -> Result<(String, bool, Reach), NoErrand> {
        let led = to(from).led_to("GET", location, follow)?;
        Ok((led.target().url(), led.takes_credentials(), led.reach()))
    }

    #[test]
    fn plain_http_goes_to_this_machine_only() {
        for (url, sent) in [
            ("https://example.com/a.wasm", true),
            ("http://127.0.0.1:5000/a.wasm", true),
            ("http://localhost/a.wasm", true),
            ("http://[::1]/a.wasm", true),
            ("http://example.com/a.wasm", false),
            ("http://10.0.0.1/a.wasm", false),
            ("http://127.0.0.1.example.com/", false),
            ("ftp://example.com/", false),
            ("https://user:password@example.com/", false),
            ("https://example.com/a/../b", false),
        ] {
            assert_eq!(Errand::new("GET", url, false).is_ok(), sent, "{url}");
        }
    }

    #[test]
    fn only_this_machine_or_what_was_opened_is_reached_in_a_private_network() {
        assert_eq!(to("https://example.com/").reach(), Reach::Global);
        assert_eq!(to("https://10.0.0.1/").reach(), Reach::Global);
        assert_eq!(to("http://127.0.0.1:5000/").reach(), Reach::Private);
        assert_eq!(Errand::new("GET", "https://10.0.0.1/", true).unwrap().reach(), Reach::Private);
    }

    #[test]
    fn a_redirect_keeps_credentials_at_home_and_loses_them_anywhere_else() {
        let home = "https://example.com/a";
        let at_home = |path: &str| Ok((format!("https://example.com{path}"), true, Reach::Global));
        assert_eq!(led(home, "/b", Follow::Home), at_home("/b"));
        assert_eq!(led(home, "https://EXAMPLE.com:443/b", Follow::Home), at_home("/b"));
        for other in ["https://example.com:8443/b", "https://other.example/b", "https://10.0.0.1/b"] {
            assert_eq!(led(home, other, Follow::Elsewhere), Ok((other.to_owned(), false, Reach::Global)));
            assert_eq!(led(home, other, Follow::Home), Err(NoErrand::Elsewhere(other.to_owned())));
        }
        for never in ["http://example.com/b", "//other.example/b", "file:///etc/passwd", "b", ""] {
            assert!(led(home, never, Follow::Elsewhere).is_err(), "{never}");
        }
    }

    #[test]
    fn another_port_of_this_machine_is_elsewhere_and_not_reached() {
        let (_, credentials, reach) =
            led("http://127.0.0.1:5000/", "http://127.0.0.1:6000/", Follow::Elsewhere).unwrap();
        assert_eq!((credentials, reach), (false, Reach::Global));
    }

    #[test]
    fn whoever_left_comes_home_without_credentials() {
        let away = to("https://example.com/a").led_to("GET", "https://other.example/", Follow::Elsewhere);
        let back = away.unwrap().led_to("GET", "https://example.com/a", Follow::Elsewhere).unwrap();
        assert!(!back.takes_credentials());
    }

    #[test]
    fn redirects_come_to_an_end() {
        let mut errand = to("https://example.com/a");
        for _ in 0..REDIRECTS_MAX {
            errand = errand.led_to("GET", "/a", Follow::Home).unwrap();
        }
        assert!(matches!(errand.led_to("GET", "/a", Follow::Home), Err(NoErrand::TooMany(_))));
    }
}
