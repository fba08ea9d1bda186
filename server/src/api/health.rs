//! What connectord says of its own state: `grpc.health.v1`, overall and for each control service, the same thing for
//! `/healthz`, and the reflection that lets a generic client find all of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

use crate::store::Store;

/// The state of this process as probes see it. Clones share it. It begins as NOT_SERVING.
#[derive(Clone)]
pub struct Health {
    reporter: HealthReporter,
    services: Arc<[&'static str]>,
    is_serving: Arc<AtomicBool>,
    store: Arc<OnceLock<Arc<dyn Store>>>,
}

impl std::fmt::Debug for Health {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Health").field("is_serving", &self.is_serving).finish_non_exhaustive()
    }
}

impl Health {
    /// The state of a process that is starting. `services` are the full names of the control services
    /// (`NamedService::NAME` of each generated server): each gets a status beside the overall one, and is listed by
    /// reflection.
    pub async fn starting(services: impl IntoIterator<Item = &'static str>) -> Self {
        let health = Self {
            reporter: HealthReporter::new(),
            services: services.into_iter().collect(),
            is_serving: Arc::default(),
            store: Arc::default(),
        };
        health.set(ServingStatus::NotServing).await;
        health
    }

    /// Everything is up: probes and watchers hear SERVING.
    pub async fn serving(&self) {
        self.set(ServingStatus::Serving).await;
    }

    /// The process is about to end: probes and watchers hear NOT_SERVING, calls are still answered.
    pub async fn draining(&self) {
        self.set(ServingStatus::NotServing).await;
    }

    /// Whether the process is up and not draining.
    pub fn is_serving(&self) -> bool {
        self.is_serving.load(Ordering::Relaxed)
    }

    /// Lets `/healthz` tell of this store.
    pub fn tells_of(&self, store: Arc<dyn Store>) {
        // There is one store in a process, which is told here once.
        drop(self.store.set(store));
    }

    /// What a probe reads. A store that cannot be written is no reason to end the process, which would bring it no room and
    /// take away what can still be read; so it is told in words and not by the status.
    pub fn told(&self) -> &'static str {
        if !self.is_serving() {
            return "not serving\n";
        }
        match self.store.get() {
            Some(store) if store.is_in_trouble() => {
                "serving, but the store cannot be written: the log of connectord says why and what to do\n"
            }
            Some(_) | None => "serving\n",
        }
    }

    /// Adds `grpc.health.v1.Health`.
    pub fn add_to(&self, routes: Routes) -> Routes {
        let service = HealthService::from_health_reporter(self.reporter.clone());
        routes.add_service(HealthServer::new(service))
    }

    /// Adds server reflection in both of its versions (older clients know only `v1alpha`). What is listed is what is
    /// served: the contract of connectors is described too, because control messages use its types, but connectord does
    /// not serve it.
    pub fn add_reflection_to(&self, routes: Routes) -> Routes {
        const DESCRIPTORS: &str = "the descriptors are compiled in, and a test reads them";
        routes
            .add_service(self.reflection().build_v1().expect(DESCRIPTORS))
            .add_service(self.reflection().build_v1alpha().expect(DESCRIPTORS))
    }

    fn reflection(&self) -> tonic_reflection::server::Builder<'static> {
        const BESIDE: [&str; 3] = [
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection",
        ];
        let builder = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(superfasttt_proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET);
        self.services
            .iter()
            .copied()
            .chain(BESIDE)
            .fold(builder, |builder, service| builder.with_service_name(service))
    }

    async fn set(&self, status: ServingStatus) {
        self.is_serving.store(matches!(status, ServingStatus::Serving), Ordering::Relaxed);
        for service in self.services.iter().copied().chain([""]) {
            self.reporter.set_service_status(service, status).await;
        }
    }
}
