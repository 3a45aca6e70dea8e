//! `random`: bytes from the granted source. All three WASI interfaces use it; there is no weaker second source.

use aws_lc_rs::digest::{Context, SHA256};
use aws_lc_rs::rand::fill;
use toolgate_base::meter::{Meter, StopError};
use toolgate_policy::capability::attempt::{Attempt, AttemptVerdict};
use toolgate_policy::capability::random::{Grant, Pass};
use toolgate_policy::limits::call::RANDOM_BYTES_MAX;
use toolgate_state::audit::record::CallTrace;
use wasmtime::component::{HasData, Linker};
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};
use wasmtime_wasi::p3::bindings::random as p3;

use super::Ctx;

/// Number of blocks that a call has drawn from a seeded stream.
#[derive(Default)]
pub(crate) struct SeededStream {
    blocks: u64,
}

pub(super) fn link(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    random::add_to_linker::<Ctx, Random>(linker, view)?;
    insecure::add_to_linker::<Ctx, Random>(linker, view)?;
    insecure_seed::add_to_linker::<Ctx, Random>(linker, view)
}

pub(super) fn link_p3(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    p3::random::add_to_linker::<Ctx, Random>(linker, view)?;
    p3::insecure::add_to_linker::<Ctx, Random>(linker, view)?;
    p3::insecure_seed::add_to_linker::<Ctx, Random>(linker, view)
}

/// Initialises the generator, which opens its resources on first use.
///
/// # Errors
/// The system's generator does not work.
pub(crate) fn begin() -> wasmtime::Result<()> {
    fill(&mut [0; 1]).map_err(|_| wasmtime::format_err!("the system's generator failed"))
}

struct Random;

impl HasData for Random {
    type Data<'a> = View<'a>;
}

struct View<'a> {
    grant: Grant,
    state: &'a mut SeededStream,
    meter: &'a Meter,
    notes: &'a CallTrace,
}

fn view(ctx: &mut Ctx) -> View<'_> {
    let grant = ctx.prototype.effective.random;
    View { grant, state: &mut ctx.random, meter: &ctx.meter, notes: &ctx.notes }
}

impl View<'_> {
    fn bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        let pass = self.grant.allow().map_err(|denied| {
            self.notes.attempt(Attempt::Random, AttemptVerdict::Refused);
            StopError::Grant(denied.to_string())
        })?;
        if len > RANDOM_BYTES_MAX {
            wasmtime::bail!("{len} random bytes at once; {RANDOM_BYTES_MAX} is the most");
        }
        self.meter.charge(len);
        let mut bytes = vec![0; usize::try_from(len).unwrap_or_default()];
        self.fill(pass, &mut bytes)?;
        Ok(bytes)
    }

    fn number(&mut self) -> wasmtime::Result<u64> {
        let bytes = self.bytes(8)?;
        Ok(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn fill(&mut self, pass: Pass, bytes: &mut [u8]) -> wasmtime::Result<()> {
        let Some(seed) = pass.seed() else {
            return fill(bytes).map_err(|_| wasmtime::format_err!("the system's generator failed"));
        };
        // The same bytes in each call, for replay: SHA-256 over seed and counter. No secret depends on it.
        for block in bytes.chunks_mut(32) {
            let mut context = Context::new(&SHA256);
            context.update(&seed.to_be_bytes());
            context.update(&self.state.blocks.to_be_bytes());
            self.state.blocks += 1;
            for (to, from) in block.iter_mut().zip(context.finish().as_ref()) {
                *to = *from;
            }
        }
        Ok(())
    }
}

impl random::Host for View<'_> {
    fn get_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.bytes(len)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.number()
    }
}

impl insecure::Host for View<'_> {
    fn get_insecure_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.bytes(len)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.number()
    }
}

impl insecure_seed::Host for View<'_> {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        Ok((self.number()?, self.number()?))
    }
}

// In WASI 0.3 the length is a maximum.

impl p3::random::Host for View<'_> {
    fn get_random_bytes(&mut self, len_max: u64) -> wasmtime::Result<Vec<u8>> {
        self.bytes(len_max.min(RANDOM_BYTES_MAX))
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.number()
    }
}

impl p3::insecure::Host for View<'_> {
    fn get_insecure_random_bytes(&mut self, len_max: u64) -> wasmtime::Result<Vec<u8>> {
        self.bytes(len_max.min(RANDOM_BYTES_MAX))
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.number()
    }
}

impl p3::insecure_seed::Host for View<'_> {
    fn get_insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        Ok((self.number()?, self.number()?))
    }
}
