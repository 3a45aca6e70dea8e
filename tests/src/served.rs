//! Calls of a world by a server that is kept for the next one: for tests of what a call does, many times over. How the program
//! itself makes a call is tested by `World::call`.

use std::sync::Mutex;

use serde_json::Value;

use crate::client::{Server, Transport};
use crate::reply::Reply;
use crate::world::World;

/// The server of a world, and what was configured when it was started.
#[derive(Default)]
pub(crate) struct Kept(Mutex<Option<(String, Server)>>);

impl World {
    /// Calls a tool. Its server was started by the call before this one, unless the world was given something else since.
    pub fn ask(&self, tool: &str, arguments: &Value) -> Reply {
        self.kept_server().call(tool, arguments.clone())
    }

    /// The server that answers `ask`.
    pub fn kept_server(&self) -> Server {
        let config = self.config();
        let mut kept = self.kept.0.lock().unwrap();
        match &*kept {
            Some((of, server)) if *of == config => server.clone(),
            _ => {
                // Two servers at a time would have one folder.
                *kept = None;
                let server = self.serve(Transport::Http);
                *kept = Some((config, server.clone()));
                server
            }
        }
    }
}
