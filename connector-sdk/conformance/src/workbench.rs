//! What the checks work with: the connector, started as often as needed, its source, and what a listing brought.

use std::io::ErrorKind::NotFound;
use std::path::PathBuf;
use std::sync::Arc;

use prost_types::Struct;
use serde_json::Value;
use superfasttt_conformance_proof::{Fingerprint, Level, PROOF_FILE, Proof};
use superfasttt_proto::CONTRACT_REVISION;
use superfasttt_proto::connector::v1::{
    Capabilities, Credential, DescribeRequest, PullLimits, PullMode, PullRequest, PullResponse,
};
use tempfile::TempDir;

use crate::credential;
use crate::manifest::Manifest;
use crate::model::Model;
use crate::outcome::Outcome;
use crate::output::Output;
use crate::plan::{PLAN_FILE, Plan, Values};
use crate::process::{Launch, Process};
use crate::proxy::{Proxy, source_in};
use crate::pull::Pulled;
use crate::run::Options;
use crate::source::{RunningSource, take};
use crate::sync::catch_up;
use crate::target::{Target, TargetError, manifest};
use crate::wire::Wire;

/// About so many pages are asked for where the stream is cut, so that there is something to cut.
const PAGES: usize = 24;

/// What the checks work with.
#[derive(Debug)]
pub struct Workbench {
    pub(crate) manifest: Manifest,
    pub(crate) folder: Option<PathBuf>,
    pub(crate) plan: Plan,
    pub(crate) seed: u64,
    pub(crate) exhaustive: bool,
    /// What all processes wrote.
    pub(crate) output: Output,
    /// What counts the requests to a source on this machine.
    pub(crate) proxy: Option<Proxy>,
    /// The settings as given, with the source's own address.
    pub(crate) settings: Value,
    pub(crate) credential: Option<Credential>,
    launch: Option<Launch>,
    remote: Option<Wire>,
    process: Option<Process>,
    values: Values,
    /// What a listing brings now.
    baseline: Option<Arc<Baseline>>,
    /// What one brought before the source was changed.
    before: Option<Arc<Baseline>>,
    _source: Option<RunningSource>,
    _work: TempDir,
}

/// What a FULL pull from nothing brought.
#[derive(Debug)]
pub(crate) struct Baseline {
    pub(crate) pulls: Vec<Pulled>,
    pub(crate) model: Model,
}

impl Baseline {
    /// The messages of all its pulls.
    pub(crate) fn messages(&self) -> impl Iterator<Item = &PullResponse> {
        self.pulls.iter().flat_map(|pulled| &pulled.messages)
    }
}

impl Workbench {
    /// Reads the plan, starts the source, and prepares it.
    ///
    /// # Errors
    ///
    /// There is nothing to try, or nothing to try it with.
    pub(crate) async fn set_up(target: Target, options: &Options) -> Result<Self, TargetError> {
        let (folder, remote) = match target {
            Target::Folder(folder) => {
                let folder = folder.canonicalize().map_err(|error| {
                    TargetError::Usage(format!("{}: {error}; name a connector's folder", folder.display()))
                })?;
                (Some(folder), None)
            }
            Target::Running(endpoint) => {
                (None, Some(Wire::remote(endpoint.channel, endpoint.token.as_deref())))
            }
        };
        let manifest = match (&folder, &remote) {
            (Some(folder), _) => manifest(folder)?,
            (None, Some(wire)) => described(wire).await?,
            (None, None) => return Err(TargetError::Usage("name a folder or an address".to_owned())),
        };
        let at = folder.clone().unwrap_or_else(|| PathBuf::from("."));
        let plan_file = options.plan.clone().or_else(|| folder.as_ref().map(|folder| folder.join(PLAN_FILE)));
        let mut plan = match &plan_file {
            Some(file) => Plan::read(file).map_err(TargetError::Usage)?,
            None => Plan::default(),
        };
        options.apply(&mut plan);
        let launch = match &folder {
            Some(folder) => Some(Launch {
                command: manifest.command(folder).map_err(TargetError::Usage)?,
                folder: folder.clone(),
                replay: plan.replay.as_ref().map(|file| folder.join(file)),
                record: None,
                log: "debug",
            }),
            None => None,
        };
        let work = tempfile::tempdir().map_err(|error| TargetError::Source(error.to_string()))?;
        let mut values = Values { source: serde_json::Map::new(), work: work.path().to_owned() };
        let source = match &plan.source {
            Some(source) => {
                let command = values.fill_all(&source.command).map_err(TargetError::Usage)?;
                let running = RunningSource::start(&command, &at).await.map_err(TargetError::Source)?;
                values.source.clone_from(&running.said);
                Some(running)
            }
            None => None,
        };
        for step in &plan.prepare {
            take(step, &values, &at).await.map_err(TargetError::Source)?;
        }
        let settings = values.fill_json(&Value::Object(plan.settings.clone())).map_err(TargetError::Usage)?;
        let mut bench = Self {
            credential: None,
            proxy: None,
            seed: options.seed,
            exhaustive: options.exhaustive,
            output: Output::default(),
            process: None,
            baseline: None,
            before: None,
            _source: source,
            _work: work,
            manifest,
            folder,
            plan,
            settings,
            launch,
            remote,
            values,
        };
        bench.check_settings()?;
        bench.credential = match &options.credential {
            Some(text) => {
                let given = credential::given(&bench.manifest.auth, text).map_err(TargetError::Usage)?;
                Some(credential::of_values(&bench.manifest.auth, &given).map_err(TargetError::Usage)?)
            }
            None => bench.credential_of(bench.plan.credential.as_ref())?,
        };
        bench.proxy = bench.new_proxy(None).await.map_err(|error| TargetError::Source(error.to_string()))?;
        Ok(bench)
    }

    /// Whether the settings are what connectord would let through.
    fn check_settings(&self) -> Result<(), TargetError> {
        let problems = self.manifest.settings_problems(&self.settings).map_err(TargetError::Manifest)?;
        if problems.is_empty() {
            return Ok(());
        }
        let told = problems.join("; ");
        Err(TargetError::Usage(format!(
            "the test settings are not valid ({told}): write them into {PLAN_FILE}, or give --set"
        )))
    }

    fn credential_of(
        &self,
        values: Option<&std::collections::BTreeMap<String, String>>,
    ) -> Result<Option<Credential>, TargetError> {
        let Some(values) = values else { return Ok(None) };
        let filled = values.iter().map(|(name, value)| Ok((name.clone(), self.values.fill(value)?)));
        let filled = filled.collect::<Result<_, String>>().map_err(TargetError::Usage)?;
        credential::of_values(&self.manifest.auth, &filled).map(Some).map_err(TargetError::Usage)
    }

    /// A proxy to the source, where that is on this machine and the connector may be led to another port.
    pub(crate) async fn new_proxy(
        &self,
        fault: Option<crate::proxy::Fault>,
    ) -> std::io::Result<Option<Proxy>> {
        let replays = self.launch.as_ref().is_some_and(|launch| launch.replay.is_some());
        match source_in(&self.settings) {
            Some((host, source)) if !replays && self.manifest.lets_any_port(&host) => {
                Proxy::start(&source, fault).await.map(Some)
            }
            _ => Ok(None),
        }
    }

    /// What the manifest declares.
    pub(crate) fn capabilities(&self) -> Capabilities {
        self.manifest.capabilities()
    }

    /// The connector, started where it does not run.
    ///
    /// # Errors
    ///
    /// It could not be started.
    pub(crate) async fn wire(&mut self) -> Result<Wire, Outcome> {
        if let Some(wire) = &self.remote {
            return Ok(wire.clone());
        }
        if !self.process.as_mut().is_some_and(Process::is_alive) {
            self.process = None;
        }
        let process = match self.process.take() {
            Some(process) => process,
            None => self.start().await?,
        };
        Ok(self.process.insert(process).wire.clone())
    }

    /// A process of its own.
    ///
    /// # Errors
    ///
    /// It could not be started, or there is nothing to start.
    pub(crate) async fn start(&self) -> Result<Process, Outcome> {
        self.start_logging(None).await
    }

    /// A process of its own that logs everything it can.
    ///
    /// # Errors
    ///
    /// As [`Self::start`].
    pub(crate) async fn start_talkative(&self) -> Result<Process, Outcome> {
        self.start_logging(Some("trace")).await
    }

    async fn start_logging(&self, log: Option<&'static str>) -> Result<Process, Outcome> {
        let launch = self.launch.clone().map(|launch| Launch { log: log.unwrap_or(launch.log), ..launch });
        let Some(launch) = &launch else {
            return Err(Outcome::not_tried(
                "a running connector is not started or ended by the kit: name its folder instead",
            ));
        };
        launch.start(&self.output).await.map_err(|reason| {
            Outcome::failed(
                reason,
                "\"the connector is ready when health says SERVING\" (connector.proto, Where it listens)",
                "start it by hand with CONNECTOR_SOCKET and CONNECTOR_TOKEN set, and read what it says",
            )
        })
    }

    /// The process that the other checks use, where there is one.
    pub(crate) fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    /// Whether the process that the other checks use still runs.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.remote.is_some() || self.process.as_mut().is_some_and(Process::is_alive)
    }

    /// Writes into the folder what was reached; where that is nothing, what stands there no longer holds.
    pub(crate) fn keep_proof(&self, level: Option<Level>) -> std::io::Result<()> {
        let (Some(folder), Some(launch)) = (&self.folder, &self.launch) else { return Ok(()) };
        let Some(level) = level else {
            let removed = std::fs::remove_file(folder.join(PROOF_FILE));
            return removed.or_else(|error| if error.kind() == NotFound { Ok(()) } else { Err(error) });
        };
        let sha256 = Fingerprint::of(&self.manifest.text, folder, &launch.command)?;
        let connector = self.manifest.id.clone();
        Proof { connector, level, contract_revision: CONTRACT_REVISION, sha256 }.write(folder)
    }

    /// The settings as a connector gets them.
    pub(crate) fn settings_struct(&self) -> Struct {
        let settings =
            self.proxy.as_ref().map_or_else(|| self.settings.clone(), |proxy| proxy.lead(&self.settings));
        to_struct(&settings)
    }

    /// A pull of everything in pages of the usual size.
    pub(crate) fn request(&self, mode: PullMode) -> PullRequest {
        PullRequest {
            settings: Some(self.settings_struct()),
            credential: self.credential.clone(),
            mode: mode.into(),
            contract_revision: CONTRACT_REVISION,
            ..PullRequest::default()
        }
    }

    /// The same in small pages, so that there are many boundaries.
    pub(crate) fn request_in_small_pages(&self, mode: PullMode, documents: usize) -> PullRequest {
        let max_page_changes = u32::try_from((documents / PAGES).clamp(1, 500)).unwrap_or(500);
        let limits = PullLimits { max_page_changes, ..PullLimits::default() };
        PullRequest { limits: Some(limits), ..self.request(mode) }
    }

    /// The second connection of the plan.
    ///
    /// # Errors
    ///
    /// What it says is not valid.
    pub(crate) fn another_request(&self) -> Result<Option<PullRequest>, Outcome> {
        let Some(another) = &self.plan.another else { return Ok(None) };
        let mut request = self.request(PullMode::Full);
        let broken = |reason: String| Outcome::not_tried(format!("`another` in {PLAN_FILE}: {reason}"));
        if let Some(settings) = &another.settings {
            let settings = self.values.fill_json(&Value::Object(settings.clone())).map_err(broken)?;
            let led = self.proxy.as_ref().map_or_else(|| settings.clone(), |proxy| proxy.lead(&settings));
            request.settings = Some(to_struct(&led));
        }
        if another.credential.is_some() {
            let credential = self.credential_of(another.credential.as_ref());
            request.credential = credential.map_err(|error| broken(error.to_string()))?;
        }
        Ok(Some(request))
    }

    /// What a listing brings now.
    ///
    /// # Errors
    ///
    /// It came to no end.
    pub(crate) async fn baseline(&mut self) -> Result<Arc<Baseline>, Outcome> {
        if let Some(baseline) = &self.baseline {
            return Ok(Arc::clone(baseline));
        }
        let wire = self.wire().await?;
        let mut models = [Model::default()];
        let request = self.request(PullMode::Full);
        let pulls = catch_up(&wire, &request, PullMode::Full, &mut models).await.map_err(|reason| {
            Outcome::failed(
                format!("a FULL pull from nothing came to no end: {reason}"),
                "\"OK ends the pull. A scope whose last checkpoint says `has_more` is pulled again at once; one without \
                 is caught up\" (connector.proto, The life of a pull)",
                "try it with `connectorctl dev`, and see that the test settings and the credential are good",
            )
        })?;
        let [model] = models;
        Ok(Arc::clone(self.baseline.insert(Arc::new(Baseline { pulls, model }))))
    }

    /// What one brought before the source was changed; that one is changed with it.
    ///
    /// # Errors
    ///
    /// The plan has no changes, or they do not work.
    pub(crate) async fn before_changes(&mut self) -> Result<Arc<Baseline>, Outcome> {
        if let Some(before) = &self.before {
            return Ok(Arc::clone(before));
        }
        if self.plan.changes.is_empty() {
            return Err(Outcome::not_tried(format!(
                "{PLAN_FILE} has no `changes`, so nothing changes in the source while the kit looks"
            )));
        }
        let before = self.baseline().await?;
        let folder = self.folder.clone().unwrap_or_else(|| PathBuf::from("."));
        for step in self.plan.changes.clone() {
            let replay = take(&step, &self.values, &folder).await.map_err(Outcome::not_tried)?;
            if let (Some(file), Some(launch)) = (replay, &mut self.launch) {
                launch.replay = Some(file);
                // It reads the recording when it starts.
                self.process = None;
            }
        }
        self.baseline = None;
        Ok(Arc::clone(self.before.insert(before)))
    }
}

/// The manifest that a running connector tells of itself.
async fn described(wire: &Wire) -> Result<Manifest, TargetError> {
    let request = DescribeRequest { contract_revision: CONTRACT_REVISION };
    let answer = wire.client().describe(request).await.map_err(|status| {
        TargetError::Usage(format!("nothing there describes itself: {}", crate::pull::told(&status)))
    })?;
    Manifest::parse(&answer.get_ref().manifest_json).map_err(TargetError::Manifest)
}

/// A JSON object as it travels.
pub(crate) fn to_struct(value: &Value) -> Struct {
    use prost_types::{ListValue, value::Kind};
    fn travelling(value: &Value) -> prost_types::Value {
        let kind = match value {
            Value::Null => Kind::NullValue(0),
            Value::Bool(value) => Kind::BoolValue(*value),
            Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or(0.0)),
            Value::String(text) => Kind::StringValue(text.clone()),
            Value::Array(items) => {
                Kind::ListValue(ListValue { values: items.iter().map(travelling).collect() })
            }
            Value::Object(_) => Kind::StructValue(to_struct(value)),
        };
        prost_types::Value { kind: Some(kind) }
    }
    let fields = value.as_object().into_iter().flatten();
    Struct { fields: fields.map(|(name, value)| (name.clone(), travelling(value))).collect() }
}
