//! Roles: what a part is given to run with, and who starts, watches, restarts and stops it.
//!
//! A role is `async fn run(ctx: Context, config: Config) -> anyhow::Result<()>`. The [`Supervisor`] starts roles in
//! order, restarts one that failed or panicked (the others serve on), and stops them in reverse order: a role sees
//! `ctx.shutdown` cancelled, ends its accepting and its watches, finishes what is in flight and returns.
//! Readiness is a set of named gates; the admin listener shows them.

mod admin;
mod clock;
mod context;
mod health;
mod supervisor;
mod tasks;

pub use admin::answer as admin_answer;
pub use clock::Clock;
pub use context::{Context, Platform};
pub use health::{Gate, Health};
pub use supervisor::{Role, Supervisor};
pub use tasks::Tasks;
