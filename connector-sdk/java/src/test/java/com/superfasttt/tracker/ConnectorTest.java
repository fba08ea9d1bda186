package com.superfasttt.tracker;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import com.google.protobuf.Struct;
import com.google.protobuf.Value;
import com.sun.net.httpserver.HttpServer;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.health.v1.HealthCheckRequest;
import io.grpc.health.v1.HealthCheckResponse.ServingStatus;
import io.grpc.health.v1.HealthGrpc;
import io.grpc.reflection.v1.ServerReflectionGrpc;
import io.grpc.reflection.v1.ServerReflectionRequest;
import io.grpc.reflection.v1.ServerReflectionResponse;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import superfasttt.connector.v1.ConnectorGrpc;
import superfasttt.connector.v1.ConnectorOuterClass.Change;
import superfasttt.connector.v1.ConnectorOuterClass.Credential;
import superfasttt.connector.v1.ConnectorOuterClass.DescribeRequest;
import superfasttt.connector.v1.ConnectorOuterClass.DiscoverRequest;
import superfasttt.connector.v1.ConnectorOuterClass.FieldsCredential;
import superfasttt.connector.v1.ConnectorOuterClass.HandleEventRequest;
import superfasttt.connector.v1.ConnectorOuterClass.Header;
import superfasttt.connector.v1.ConnectorOuterClass.NormalizeRequest;
import superfasttt.connector.v1.ConnectorOuterClass.NormalizeResponse;
import superfasttt.connector.v1.ConnectorOuterClass.NormalizeStart;
import superfasttt.connector.v1.ConnectorOuterClass.PullMode;
import superfasttt.connector.v1.ConnectorOuterClass.PullRequest;
import superfasttt.connector.v1.ConnectorOuterClass.PullResponse;
import superfasttt.connector.v1.ConnectorOuterClass.RawItem;

/** Everything but the reading of the real sample tracker, which through_connectord.py tries. */
@Timeout(60)
class ConnectorTest {
    private Running running;
    private HttpServer tracker;
    private final ConcurrentLinkedQueue<String> asked = new ConcurrentLinkedQueue<>();

    @BeforeEach
    void start() throws IOException {
        running = new Running();
        tracker = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
        tracker.createContext("/", exchange -> {
            asked.add(exchange.getRequestHeaders().getFirst("authorization") + " " + exchange.getRequestURI());
            boolean slow = exchange.getRequestURI().toString().contains("page=1");
            byte[] body = "{\"issues\": [{\"number\": 1, \"sequence\": 4, \"title\": \"One\", \"body\": \"Text\", \"private\": true, \"author\": \"a@b\"}, {\"number\": 13, \"title\": null}], \"next_page\": 1, \"sequence\": 9}"
                    .getBytes(StandardCharsets.UTF_8);
            // The second page never comes.
            if (slow) {
                exchange.getResponseHeaders().set("retry-after", "1");
            }
            exchange.sendResponseHeaders(slow ? 429 : 200, body.length);
            exchange.getResponseBody().write(body);
            exchange.close();
        });
        tracker.start();
    }

    @AfterEach
    void stop() throws IOException, InterruptedException {
        tracker.stop(0);
        running.close();
    }

    private PullRequest pull(boolean wantRaw) {
        return pull("k", wantRaw);
    }

    private PullRequest pull(String key, boolean wantRaw) {
        String url = "http://127.0.0.1:" + tracker.getAddress().getPort();
        return PullRequest.newBuilder().setContractRevision(1).setMode(PullMode.PULL_MODE_FULL).setWantRaw(wantRaw)
                .setSettings(Struct.newBuilder().putFields("url", Value.newBuilder().setStringValue(url).build()))
                .setCredential(Credential.newBuilder().setFields(FieldsCredential.newBuilder().putValues("key", key))).build();
    }

    @Test
    void servesHealthAndReflectionAndEndsWellOnSigterm() throws Exception {
        Iterator<PullResponse> pulled = running.calls().pull(pull(false));
        assertEquals(2, pulled.next().getPage().getChangesCount());
        var health = HealthGrpc.newBlockingStub(running.channel).withInterceptors(Running.authorized("Bearer " + Running.TOKEN));
        for (String service : List.of("", "superfasttt.connector.v1.Connector")) {
            assertEquals(ServingStatus.SERVING, health.check(HealthCheckRequest.newBuilder().setService(service).build()).getStatus());
        }
        String services = reflected("Bearer " + Running.TOKEN).get(10, TimeUnit.SECONDS).toString();
        assertTrue(services.contains("superfasttt.connector.v1.Connector"), services);

        long asked = System.nanoTime();
        running.process.toHandle().destroy();
        var ended = assertThrows(StatusRuntimeException.class, pulled::hasNext);
        assertEquals(Status.Code.UNAVAILABLE, ended.getStatus().getCode());
        assertTrue(running.process.waitFor(10, TimeUnit.SECONDS));
        assertEquals(0, running.process.exitValue());
        assertTrue(System.nanoTime() - asked < 2_000_000_000L, "it ended within two seconds");
        assertEquals(0, running.process.getInputStream().readAllBytes().length, "nothing on stdout");
        assertEquals("", running.log(), "nothing to say, and no token in it");
    }

    private CompletableFuture<ServerReflectionResponse> reflected(String authorization) {
        CompletableFuture<ServerReflectionResponse> answer = new CompletableFuture<>();
        var requests = ServerReflectionGrpc.newStub(running.channel).withInterceptors(Running.authorized(authorization)).withWaitForReady()
                .serverReflectionInfo(observer(answer::complete, answer::completeExceptionally, () -> {}));
        requests.onNext(ServerReflectionRequest.newBuilder().setListServices("").build());
        return answer;
    }

    @Test
    void refusesCallsWithoutTheToken() {
        running.calls().describe(DescribeRequest.newBuilder().setContractRevision(1).build());
        for (String authorization : List.of("Bearer other", "bearer " + Running.TOKEN, Running.TOKEN)) {
            var calls = ConnectorGrpc.newBlockingStub(running.channel).withInterceptors(Running.authorized(authorization));
            var refused = assertThrows(StatusRuntimeException.class, () -> calls.describe(DescribeRequest.getDefaultInstance()));
            assertEquals(Status.Code.UNAUTHENTICATED, refused.getStatus().getCode());
            assertThrows(Exception.class, () -> reflected(authorization).get(10, TimeUnit.SECONDS));
        }
    }

    @Test
    void endsItsWorkAfterTheServerWentAway() throws Exception {
        var context = io.grpc.Context.current().withCancellation();
        context.run(() -> assertTrue(running.calls().pull(pull("first", false)).hasNext()));
        waitForSecondPage("first", 1);
        context.cancel(null);
        long before = secondPages("first");
        // As long as another pull asks twice more, the first one asks no more.
        var other = io.grpc.Context.current().withCancellation();
        other.run(() -> assertTrue(running.calls().pull(pull("second", false)).hasNext()));
        waitForSecondPage("second", 2);
        other.cancel(null);
        assertEquals(before, secondPages("first"));
    }

    private void waitForSecondPage(String key, int times) throws InterruptedException {
        while (secondPages(key) < times) {
            Thread.sleep(5);
        }
    }

    private long secondPages(String key) {
        return asked.stream().filter(request -> request.startsWith("Bearer " + key) && request.contains("page=1")).count();
    }

    @Test
    void normalizesKeptIssuesToTheSameDocuments() throws Exception {
        List<Change> plain = running.calls().pull(pull(false)).next().getPage().getChangesList();
        List<Change> kept = running.calls().pull(pull(true)).next().getPage().getChangesList();
        assertEquals("issue/1", kept.get(0).getRaw().getSchema());
        CompletableFuture<List<NormalizeResponse>> answers = new CompletableFuture<>();
        List<NormalizeResponse> so = new ArrayList<>();
        var items = ConnectorGrpc.newStub(running.channel).withInterceptors(Running.authorized("Bearer " + Running.TOKEN))
                .normalize(observer(so::add, answers::completeExceptionally, () -> answers.complete(so)));
        items.onNext(NormalizeRequest.newBuilder().setStart(NormalizeStart.newBuilder().setContractRevision(1)).build());
        for (Change change : kept) {
            items.onNext(NormalizeRequest.newBuilder().setRaw(change.getRaw()).build());
        }
        items.onNext(NormalizeRequest.newBuilder().setRaw(RawItem.newBuilder().setId("x").setSchema("issue/0").setData(ByteString.EMPTY)).build());
        items.onCompleted();
        List<NormalizeResponse> got = answers.get(10, TimeUnit.SECONDS);
        assertEquals(plain.get(0).getDocument(), got.get(0).getDocument());
        assertEquals("private", got.get(0).getDocument().getPermissions().getVisibility());
        assertEquals(plain.get(1).getItemError(), got.get(1).getItemError());
        assertEquals("x", got.get(2).getItemError().getId());
    }

    @Test
    void servesWhatItsManifestDeclaresAndNothingElse() {
        var described = running.calls().describe(DescribeRequest.newBuilder().setContractRevision(1).build());
        assertTrue(described.getCapabilities().getIncremental() && described.getCapabilities().getHandleEvent());
        var refused = assertThrows(StatusRuntimeException.class, () -> running.calls().discover(DiscoverRequest.getDefaultInstance()));
        assertEquals(Status.Code.UNIMPLEMENTED, refused.getStatus().getCode());
    }

    @Test
    void understandsASignedEventAndNoOther() {
        String signature = "4ca85ac47b30f1a902d01449182f7dde5b104d90186f463f169a0a353a2ccb60";
        HandleEventRequest.Builder event = HandleEventRequest.newBuilder().setContractRevision(1).setSigningSecret("key")
                .setBody(ByteString.copyFromUtf8("{\"issues\": [7, 9]}"));
        assertEquals(false, running.calls().handleEvent(event.build()).getVerified());
        event.addHeaders(Header.newBuilder().setName("x-tracker-signature").setValue(signature));
        var answer = running.calls().handleEvent(event.build());
        assertTrue(answer.getVerified());
        assertEquals(List.of("7", "9"), answer.getChangedIdsList());
        assertEquals(false, running.calls().handleEvent(event.setSigningSecret("").build()).getVerified());
    }

    @Test
    void saysWhatItIsWhenStartedByHand() throws Exception {
        Process byHand = Running.program().start();
        assertTrue(byHand.waitFor(10, TimeUnit.SECONDS));
        assertEquals(2, byHand.exitValue());
        assertTrue(new String(byHand.getErrorStream().readAllBytes(), StandardCharsets.UTF_8).contains("connectord starts it"));
    }

    private static <A> StreamObserver<A> observer(java.util.function.Consumer<A> each, java.util.function.Consumer<Throwable> failed, Runnable ended) {
        return new StreamObserver<>() {
            @Override
            public void onNext(A answer) {
                each.accept(answer);
            }

            @Override
            public void onError(Throwable error) {
                failed.accept(error);
            }

            @Override
            public void onCompleted() {
                ended.run();
            }
        };
    }
}
