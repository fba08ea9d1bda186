//! A test for each provider of the table that the server has to serve, named after its row: its declaration as a
//! manifest would have it, its replies, its refusals. The providers' documentation is the source of both.

mod atlassian;
mod dropbox;
mod github_app_install;
mod github_app_user;
mod github_oauth_app;
mod google;
mod hubspot;
mod microsoft;
mod notion;
mod salesforce;
mod slack;
#[path = "../support/mod.rs"]
mod support;
