//! pool
/// x
pub struct Pool;
/// x
pub struct PoolConfig;
