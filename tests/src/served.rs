//! Calls through a server that is reused, for tests with many calls. `World::call` tests calls by the program itself.

use std::sync::Mutex;

use serde_json::Value;

use crate::client::{Server, Transport};
use crate::reply::Reply;
use crate::world::World;

/// A world's server, and the configuration that it was started with.
#[derive(Default)]
pub(crate) struct Kept(Mutex<Option<(String, Server)>>);

impl World {
    /// Calls a tool. Restarts the server only if the configuration has changed since the previous call.
    pub fn ask(&self, tool: &str, arguments: &Value) -> Reply {
        self.kept_server().call(tool, arguments.clone())
    }

    /// Server behind `ask`.
    pub fn kept_server(&self) -> Server {
        let config = self.config();
        let mut kept = self.kept.0.lock().unwrap();
        match &*kept {
            Some((of, server)) if *of == config => server.clone(),
            _ => {
                // Two servers at once would use one folder.
                *kept = None;
                let server = self.serve(Transport::Http);
                *kept = Some((config, server.clone()));
                server
            }
        }
    }
}
