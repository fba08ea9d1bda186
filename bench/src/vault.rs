//! *vault*: secrets sealed and opened by the vault, one after the other on one thread, against bare AES-256-GCM of *ring*
//! over the same bytes with a fresh random nonce. The difference is a key of its own for each secret, and its place.

use std::time::{Duration, Instant};

use anyhow::Context;
use connectord::vault::{Key, KeySource, Place, Vault};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};

use crate::report::{Ratio, Repetition, progress};

/// Bytes of a secret: an access token as large providers give them out.
const SECRET_BYTES: usize = 1536;
/// Secrets in one measurement.
const SECRETS: u32 = 100_000;
/// What the other side is.
const BARE: &str = "ring's AES-256-GCM of the same bytes";

/// Measures both directions so often.
///
/// # Errors
/// Where a side fails.
pub async fn measure(repetitions: usize) -> anyhow::Result<Vec<Ratio>> {
    let keys = Key::generate().to_base64().to_string();
    let vault = Vault::with_keys(KeySource::Text(keys.into())).await?;
    let place = Place::of_connection("acme", "0197c5d0-5d5e-7c3a-9a53-0c1f6a7b8c9d", "access_token");
    let bare = Bare::new()?;
    let secret = vec![0x5a; SECRET_BYTES];
    let sealed = vault.seal(&place, &secret)?;
    let sealed_bare = bare.seal(&secret)?;
    let (mut seals, mut opens) = (Vec::new(), Vec::new());
    for _ in 0..repetitions {
        let bare_took = timed(|| bare.seal(&secret).map(drop))?;
        let took = timed(|| Ok(vault.seal(&place, &secret).map(drop)?))?;
        // One thread that waits for nothing: the time is the processor's.
        seals.push(Repetition::new(SECRETS.into(), took, bare_took, took));
        progress("vault seal", "secrets", seals.last());

        let bare_took = timed(|| bare.open(&sealed_bare).map(drop))?;
        let begun = Instant::now();
        for _ in 0..SECRETS {
            vault.open(&place, &sealed).await?;
        }
        let took = begun.elapsed();
        opens.push(Repetition::new(SECRETS.into(), took, bare_took, took));
        progress("vault open", "secrets", opens.last());
    }
    Ok(vec![
        Ratio::new("vault seal", BARE, "secrets", 0.3, seals),
        Ratio::new("vault open", BARE, "secrets", 0.2, opens),
    ])
}

fn timed(work: impl Fn() -> anyhow::Result<()>) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    for _ in 0..SECRETS {
        work()?;
    }
    Ok(begun.elapsed())
}

/// The bare side: one key for everything, the nonce before the ciphertext.
struct Bare {
    key: LessSafeKey,
    random: SystemRandom,
}

impl Bare {
    fn new() -> anyhow::Result<Self> {
        let random = SystemRandom::new();
        let mut key = [0; 32];
        random.fill(&mut key).ok().context("there are no random bytes")?;
        let key = UnboundKey::new(&AES_256_GCM, &key).ok().context("it is no key")?;
        Ok(Self { key: LessSafeKey::new(key), random })
    }

    fn seal(&self, secret: &[u8]) -> anyhow::Result<Vec<u8>> {
        let mut sealed = Vec::with_capacity(NONCE_LEN + secret.len() + AES_256_GCM.tag_len());
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).ok().context("there are no random bytes")?;
        sealed.extend(nonce);
        sealed.extend(secret);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let body = &mut sealed[NONCE_LEN..];
        let tag =
            self.key.seal_in_place_separate_tag(nonce, Aad::empty(), body).ok().context("it is too long")?;
        sealed.extend(tag.as_ref());
        Ok(sealed)
    }

    fn open(&self, sealed: &[u8]) -> anyhow::Result<Vec<u8>> {
        let (nonce, body) = sealed.split_at(NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok().context("it is no nonce")?;
        let mut body = body.to_vec();
        let length =
            self.key.open_in_place(nonce, Aad::empty(), &mut body).ok().context("it does not open")?.len();
        body.truncate(length);
        Ok(body)
    }
}
