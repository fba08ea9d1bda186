package com.superfasttt.tracker;

import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Struct;
import com.google.protobuf.util.JsonFormat;
import com.superfasttt.tracker.DocumentConnector.Account;
import com.superfasttt.tracker.DocumentConnector.ConnectorConfig;
import com.superfasttt.tracker.DocumentConnector.ConnectorEvent;
import com.superfasttt.tracker.DocumentConnector.ConnectorStatus;
import com.superfasttt.tracker.DocumentConnector.EventMeaning;
import com.superfasttt.tracker.DocumentConnector.SyncRequest;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.FutureTask;
import java.util.function.Supplier;
import superfasttt.connector.v1.ConnectorOuterClass.AccountIdentity;
import superfasttt.connector.v1.ConnectorOuterClass.Capabilities;
import superfasttt.connector.v1.ConnectorOuterClass.Check;
import superfasttt.connector.v1.ConnectorGrpc;
import superfasttt.connector.v1.ConnectorOuterClass.Credential;
import superfasttt.connector.v1.ConnectorOuterClass.DescribeRequest;
import superfasttt.connector.v1.ConnectorOuterClass.DescribeResponse;
import superfasttt.connector.v1.ConnectorOuterClass.HandleEventRequest;
import superfasttt.connector.v1.ConnectorOuterClass.HandleEventResponse;
import superfasttt.connector.v1.ConnectorOuterClass.Header;
import superfasttt.connector.v1.ConnectorOuterClass.NormalizeRequest;
import superfasttt.connector.v1.ConnectorOuterClass.NormalizeResponse;
import superfasttt.connector.v1.ConnectorOuterClass.PullMode;
import superfasttt.connector.v1.ConnectorOuterClass.PullRequest;
import superfasttt.connector.v1.ConnectorOuterClass.PullResponse;
import superfasttt.connector.v1.Errors.Reason;
import superfasttt.connector.v1.ConnectorOuterClass.ScopeState;
import superfasttt.connector.v1.ConnectorOuterClass.TestConnectionRequest;
import superfasttt.connector.v1.ConnectorOuterClass.TestConnectionResponse;

/** The contract's service, answered by a {@link DocumentConnector}. What is not written here answers UNIMPLEMENTED. */
final class ConnectorService extends ConnectorGrpc.ConnectorImplBase {
    private static final int CONTRACT_REVISION = 1;
    private static final int MAX_IDS = 1000;
    private final String manifest;
    private final Capabilities capabilities;
    private final Supplier<DocumentConnector> connectors;
    private final Normalizer normalizer;
    /** Pulls wait for the server, so each has a thread of its own. */
    private final ExecutorService pulls = Executors.newCachedThreadPool();

    ConnectorService(String manifest, Supplier<DocumentConnector> connectors, Normalizer normalizer) {
        this.manifest = manifest;
        this.capabilities = capabilitiesOf(manifest);
        this.connectors = connectors;
        this.normalizer = normalizer;
    }

    /** Ends running pulls with an error that says to call again. */
    void stop() {
        pulls.shutdownNow();
    }

    @Override
    public void describe(DescribeRequest request, StreamObserver<DescribeResponse> out) {
        answer(out, request.getContractRevision(), () -> DescribeResponse.newBuilder().setManifestJson(manifest)
                .setCapabilities(capabilities).addContractRevisions(CONTRACT_REVISION).build());
    }

    @Override
    public void testConnection(TestConnectionRequest request, StreamObserver<TestConnectionResponse> out) {
        answer(out, request.getContractRevision(), () -> {
            ConnectorStatus status = open(request.getSettings(), request.getCredential()).getStatus();
            Check.Outcome outcome = status.ready() ? Check.Outcome.OUTCOME_PASSED : Check.Outcome.OUTCOME_FAILED;
            TestConnectionResponse.Builder response = TestConnectionResponse.newBuilder().addChecks(Check.newBuilder()
                    .setName("account_readable").setOutcome(outcome).setMessage(status.message()).setFix(status.fix()));
            if (status.account() != null) {
                Account account = status.account();
                response.setAccount(AccountIdentity.newBuilder().setId(account.id()).setDisplayName(account.name()).setEmail(account.email()));
            }
            return response.build();
        });
    }

    @Override
    public void pull(PullRequest request, StreamObserver<PullResponse> observer) {
        ServerCallStreamObserver<PullResponse> out = (ServerCallStreamObserver<PullResponse>) observer;
        PullStream sink = new PullStream(request, normalizer, out);
        FutureTask<Void> work = new FutureTask<>(() -> synchronize(request, sink, out), null);
        // The server goes away: the thread of this pull is interrupted.
        out.setOnCancelHandler(() -> work.cancel(true));
        pulls.execute(work);
    }

    private void synchronize(PullRequest request, PullStream sink, ServerCallStreamObserver<PullResponse> out) {
        try {
            check(request);
            // This source has one scope only, whose name is empty.
            ByteString cursor = request.getStatesList().stream().filter(state -> state.getScope().isEmpty()).map(ScopeState::getCursor)
                    .findFirst().orElse(ByteString.EMPTY);
            SyncRequest wanted = new SyncRequest(request.getMode(), cursor, request.getIdsList(), sink);
            open(request.getSettings(), request.getCredential()).synchronize(wanted);
            sink.finish();
            out.onCompleted();
        } catch (InterruptedException stopped) {
            if (!out.isCancelled()) {
                out.onError(new ConnectorException(Reason.REASON_SOURCE_UNAVAILABLE, "the connector is stopping: call again").toStatus());
            }
        } catch (ConnectorException failed) {
            out.onError(failed.toStatus());
        } catch (RuntimeException fault) {
            out.onError(unexpected(fault).toStatus());
        }
    }

    private void check(PullRequest request) {
        checkRevision(request.getContractRevision());
        boolean targeted = request.getMode() == PullMode.PULL_MODE_TARGETED;
        int ids = request.getIdsCount();
        boolean known = request.getMode() != PullMode.PULL_MODE_UNSPECIFIED && request.getMode() != PullMode.UNRECOGNIZED;
        if (!known || targeted != (ids > 0) || ids > MAX_IDS) {
            throw new ConnectorException(Reason.REASON_PROTOCOL_VIOLATION, "the pull names no mode, or the ids do not go with it");
        }
    }

    @Override
    public StreamObserver<NormalizeRequest> normalize(StreamObserver<NormalizeResponse> out) {
        return new Normalizing(normalizer, (ServerCallStreamObserver<NormalizeResponse>) out);
    }

    @Override
    public void handleEvent(HandleEventRequest request, StreamObserver<HandleEventResponse> out) {
        answer(out, request.getContractRevision(), () -> {
            Map<String, String> headers = new HashMap<>();
            for (Header header : request.getHeadersList()) {
                headers.put(header.getName(), header.getValue());
            }
            ConnectorEvent event = new ConnectorEvent(headers, request.getBody().toByteArray(), request.getSigningSecret());
            EventMeaning meaning = open(request.getSettings(), request.getCredential()).handleEvent(event);
            return HandleEventResponse.newBuilder().setVerified(meaning.verified()).addAllChangedIds(meaning.changedIds()).build();
        });
    }

    private DocumentConnector open(Struct settings, Credential credential) {
        // A manifest with auth.fields has the key among them.
        String key = credential.hasFields() ? credential.getFields().getValuesOrDefault("key", "") : credential.getApiKey().getKey();
        DocumentConnector connector = connectors.get();
        connector.initialize(new ConnectorConfig(settings, key));
        return connector;
    }

    private interface Work<A> {
        A run() throws InterruptedException;
    }

    private static <A> void answer(StreamObserver<A> out, int revision, Work<A> work) {
        try {
            checkRevision(revision);
            A answer = work.run();
            out.onNext(answer);
            out.onCompleted();
        } catch (ConnectorException failed) {
            out.onError(failed.toStatus());
        } catch (InterruptedException stopped) {
            Thread.currentThread().interrupt();
        } catch (RuntimeException fault) {
            out.onError(unexpected(fault).toStatus());
        }
    }

    private static void checkRevision(int revision) {
        if (revision < CONTRACT_REVISION) {
            throw new ConnectorException(Reason.REASON_PROTOCOL_VIOLATION, "the request speaks contract revision " + revision);
        }
    }

    /** A fault of this program: its kind travels, its text may quote data and does not; where it was goes to the log. */
    static ConnectorException unexpected(RuntimeException fault) {
        String kind = fault.getClass().getName();
        System.err.println("ERROR the connector's code failed: " + kind + " at " + Arrays.toString(fault.getStackTrace()));
        return new ConnectorException(Reason.REASON_INTERNAL, "the connector's code failed with " + kind + ": its log says where");
    }

    /** The manifest's words are the fields of the message. */
    private static Capabilities capabilitiesOf(String manifest) {
        try {
            Struct.Builder json = Struct.newBuilder();
            JsonFormat.parser().merge(manifest, json);
            Capabilities.Builder capabilities = Capabilities.newBuilder();
            json.getFieldsOrThrow("capabilities").getListValue().getValuesList()
                    .forEach(name -> capabilities.setField(Capabilities.getDescriptor().findFieldByName(name.getStringValue()), true));
            return capabilities.build();
        } catch (InvalidProtocolBufferException noJson) {
            throw new IllegalArgumentException("manifest.json is no JSON object", noJson);
        }
    }
}
