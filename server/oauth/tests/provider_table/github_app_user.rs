use std::time::Duration;

use serde_json::json;
use superfasttt_oauth_testing::{Answer, FakeProvider};

use crate::github_oauth_app::auth;
use crate::support::*;

#[tokio::test]
async fn github_app_user() {
    let provider = FakeProvider::start().await;
    let client = client(&provider, auth());
    provider.answer(Answer::json(
        200,
        &json!({"access_token": "ghu_1", "expires_in": 28800, "refresh_token": "ghr_1",
                "refresh_token_expires_in": 15_897_600, "scope": "", "token_type": "bearer"}),
    ));
    let tokens = exchange(&client, &[]).await.unwrap();
    assert_eq!(tokens.expires_in, Some(Duration::from_secs(28800)));
    assert_eq!(tokens.refresh_expires_in, Some(Duration::from_secs(15_897_600)));
    assert_eq!(tokens.granted, None, "an empty list says nothing: rights are those of the app");

    let form =
        "access_token=ghu_2&expires_in=28800&refresh_token=ghr_2&refresh_token_expires_in=15897600&scope=";
    provider.answer(Answer::text(200, "application/x-www-form-urlencoded", form));
    let tokens = refresh(&client).await.unwrap();
    assert_eq!((access(&tokens), refresh_token(&tokens)), ("ghu_2", Some("ghr_2")));
    assert_eq!(tokens.expires_in, Some(Duration::from_secs(28800)));

    provider.answer(Answer::json(200, &json!({"error": "bad_refresh_token", "error_description": "The refresh token passed is incorrect or expired."})));
    assert_eq!(refused(refresh(&client).await).status, 200);
}
