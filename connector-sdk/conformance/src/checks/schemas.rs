//! Metadata and raw items follow the schemas in the connector's folder.

use std::collections::BTreeSet;

use prost_types::Struct;
use serde_json::{Map, Number, Value};
use superfasttt_proto::connector::v1::{PullMode, PullRequest, change};

use crate::outcome::{Finding, Outcome, Verdict};
use crate::pull::pull;
use crate::schemas::{METADATA, Schemas};
use crate::workbench::Workbench;

const RAW: &str = "\"Required. Which of the connector's schemas `data` follows, such as \\\"file/1\\\".\" (connector.proto, RawItem): schemas/NAME.json";
const OF_METADATA: &str =
    "the metadata of documents follows schemas/metadata.json where the folder has one (docs/conformance.md)";

pub(super) async fn check(bench: &mut Workbench) -> Verdict {
    let Some(mut schemas) = bench.folder.as_deref().and_then(Schemas::of) else {
        return Ok(Outcome::not_applicable("the folder has no schemas/"));
    };
    let mut findings = Vec::new();
    let has_metadata = schemas.has(METADATA).unwrap_or_else(|reason| {
        findings.push(Finding::new(reason, OF_METADATA, "make it a JSON Schema"));
        false
    });
    let baseline = bench.baseline().await?;
    let mut documents = 0;
    for document in baseline.model.documents().filter(|_| has_metadata) {
        documents += 1;
        let metadata = document.metadata.as_ref().map_or_else(|| Value::Object(Map::new()), to_json);
        if let Some(problem) = schemas.problem(METADATA, &metadata) {
            let seen = format!("the metadata of {:?} {problem}", document.id);
            findings.push(Finding::new(seen, OF_METADATA, "mend the document or the schema"));
        }
    }
    let wire = bench.wire().await?;
    let request = PullRequest { want_raw: true, ..bench.request(PullMode::Full) };
    let pulled = pull(&wire, request, None).await;
    let (mut raw_items, mut unknown) = (0, BTreeSet::new());
    for (_, change) in pulled.changes() {
        let Some(change::Kind::Raw(raw)) = &change.kind else { continue };
        raw_items += 1;
        match schemas.has(&raw.schema) {
            Ok(true) => {}
            Ok(false) => {
                if unknown.insert(raw.schema.clone()) {
                    let seen = format!(
                        "raw items say the schema {0:?}, and there is no schemas/{0}.json",
                        raw.schema
                    );
                    findings.push(Finding::new(seen, RAW, "add the file, or correct the name"));
                }
                continue;
            }
            Err(reason) => {
                if unknown.insert(raw.schema.clone()) {
                    findings.push(Finding::new(reason, RAW, "make it a JSON Schema"));
                }
                continue;
            }
        }
        let problem = match serde_json::from_slice(&raw.data) {
            Ok(data) => schemas.problem(&raw.schema, &data),
            Err(_) => Some("is not JSON".to_owned()),
        };
        if let Some(problem) = problem {
            let seen = format!("the raw item {:?} {problem}", raw.id);
            findings.push(Finding::new(
                seen,
                RAW,
                "mend the item or the schema; a changed shape is a new schema",
            ));
        }
    }
    Ok(Outcome::of(findings, format!("{documents} documents, {raw_items} raw items")))
}

fn to_json(fields: &Struct) -> Value {
    use prost_types::value::Kind;
    fn json_of(travelling: &prost_types::Value) -> Value {
        match &travelling.kind {
            None | Some(Kind::NullValue(_)) => Value::Null,
            Some(Kind::BoolValue(value)) => Value::Bool(*value),
            // Travelling as a double must not make 3 a number that is no integer.
            Some(Kind::NumberValue(number)) if number.fract() == 0.0 && number.abs() < 2f64.powi(53) => {
                #[expect(clippy::cast_possible_truncation, reason = "it is whole and below 2^53")]
                let whole = *number as i64;
                Value::Number(whole.into())
            }
            Some(Kind::NumberValue(number)) => Number::from_f64(*number).map_or(Value::Null, Value::Number),
            Some(Kind::StringValue(text)) => Value::String(text.clone()),
            Some(Kind::ListValue(list)) => Value::Array(list.values.iter().map(json_of).collect()),
            Some(Kind::StructValue(fields)) => to_json(fields),
        }
    }
    Value::Object(fields.fields.iter().map(|(name, field)| (name.clone(), json_of(field))).collect())
}
