//! API tokens in memory.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::MemoryStore;
use crate::store::api_tokens::{ApiToken, ApiTokenStore, NewApiToken, TokenHash};
use crate::store::{Listed, Result, StoreError};

#[async_trait]
impl ApiTokenStore for MemoryStore {
    async fn create_api_token(&self, new: NewApiToken, now: DateTime<Utc>) -> Result<ApiToken> {
        self.write(|data| {
            let same = |(token, hash): &(ApiToken, TokenHash)| {
                (token.name == new.name && token.revoked_at.is_none()) || *hash == new.hash
            };
            if data.api_tokens.contains_key(&new.id) || data.api_tokens.values().any(same) {
                return Err(StoreError::Taken("api_token"));
            }
            let NewApiToken { id, name, hash, organization, permissions, expires_at } = new;
            let token = ApiToken {
                id,
                name,
                organization,
                permissions,
                created_at: now,
                expires_at,
                last_used_at: None,
                revoked_at: None,
            };
            data.api_tokens.insert(token.id.clone(), (token.clone(), hash));
            Ok(token)
        })
        .await
    }

    async fn api_token_by_hash(&self, hash: TokenHash) -> Result<Option<ApiToken>> {
        self.read(|data| {
            let mut tokens = data.api_tokens.values();
            tokens.find(|(_, known)| *known == hash).map(|(token, _)| token.clone())
        })
        .await
    }

    async fn api_tokens(
        &self,
        organization: Option<String>,
        after: &str,
        limit: usize,
    ) -> Result<Listed<ApiToken>> {
        self.read(|data| {
            let of = |token: &&ApiToken| {
                token.id.as_str() > after
                    && organization.as_ref().is_none_or(|owner| *owner == token.organization)
            };
            let tokens = data.api_tokens.values().map(|(token, _)| token).filter(of);
            Listed::cut(tokens.take(limit + 1).cloned().collect(), limit, |token| token.id.clone())
        })
        .await
    }

    async fn revoke_api_token(&self, id: &str, now: DateTime<Utc>) -> Result<ApiToken> {
        self.write(|data| {
            let (token, _) = data.api_tokens.get_mut(id).ok_or(StoreError::Missing("api_token"))?;
            token.revoked_at = token.revoked_at.or(Some(now));
            Ok(token.clone())
        })
        .await
    }

    async fn note_api_tokens(&self, used: Vec<(String, DateTime<Utc>)>) -> Result<()> {
        self.write(|data| {
            for (id, at) in used {
                if let Some((token, _)) = data.api_tokens.get_mut(&id) {
                    token.last_used_at = token.last_used_at.max(Some(at));
                }
            }
            Ok(())
        })
        .await
    }
}
