package com.superfasttt.tracker;

import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Struct;
import com.google.protobuf.util.JsonFormat;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import java.util.Set;
import superfasttt.connector.v1.Errors.Reason;

/** The tracker's JSON API: one request after the other, with the waits that it asks for. */
final class Tracker {
    private static final HttpClient HTTP = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(10)).build();
    private static final Set<Integer> MAY_PASS = Set.of(502, 503, 504);
    private static final int MAX_ATTEMPTS = 4;
    /** What takes longer is the server's to wait for: it holds no run open meanwhile. */
    private static final long MAX_WAIT_SECONDS = 60;
    private final String url;
    private final String key;

    Tracker(String url, String key) {
        this.url = url;
        this.key = key;
    }

    /** Asks for a path. */
    Struct get(String path) throws InterruptedException {
        long waited = 0;
        for (int attempt = 1; ; attempt++) {
            HttpResponse<String> answer = send(path, attempt);
            if (answer == null || MAY_PASS.contains(answer.statusCode()) && attempt < MAX_ATTEMPTS) {
                Thread.sleep((long) (Math.random() * 500) << attempt);
                continue;
            }
            if (answer.statusCode() == 429) {
                long pause = pauseSeconds(answer, attempt);
                waited += pause;
                if (waited > MAX_WAIT_SECONDS) {
                    throw new ConnectorException(Reason.REASON_RATE_LIMITED, "the tracker asks to come later", pause);
                }
                Thread.sleep(pause * 1000);
                continue;
            }
            return read(path, answer);
        }
    }

    /** As long as the tracker says in seconds, else from a second on, doubled; so too where it goes on saying "at once". */
    private static long pauseSeconds(HttpResponse<String> answer, int attempt) {
        String told = answer.headers().firstValue("retry-after").orElse("");
        if (told.matches("[0-9]{1,6}") && (!told.matches("0+") || attempt < MAX_ATTEMPTS)) {
            return Long.parseLong(told);
        }
        return 1L << Math.min(attempt - 1, 6);
    }

    /** One try; null where it may be tried again. */
    private HttpResponse<String> send(String path, int attempt) throws InterruptedException {
        try {
            HttpRequest request = HttpRequest.newBuilder(URI.create(url + path)).timeout(Duration.ofSeconds(60))
                    .header("authorization", "Bearer " + key).header("user-agent", "tracker-java/1.0.0").build();
            return HTTP.send(request, BodyHandlers.ofString());
        } catch (IllegalArgumentException noAddress) {
            throw new ConnectorException(Reason.REASON_SETTINGS_INVALID, "the setting url is no address");
        } catch (IOException failed) {
            if (attempt < MAX_ATTEMPTS) {
                return null;
            }
            throw new ConnectorException(Reason.REASON_SOURCE_UNAVAILABLE, "the tracker does not answer");
        }
    }

    private static Struct read(String path, HttpResponse<String> answer) {
        int status = answer.statusCode();
        if (status >= 400) {
            throw new ConnectorException(reasonOf(status), "GET " + URI.create(path).getPath() + " answers " + status);
        }
        try {
            Struct.Builder json = Struct.newBuilder();
            JsonFormat.parser().merge(answer.body(), json);
            return json.build();
        } catch (InvalidProtocolBufferException noJson) {
            // The parser's own message may quote the data.
            throw new ConnectorException(Reason.REASON_SOURCE_UNAVAILABLE, "the tracker's answer is no JSON object");
        }
    }

    private static Reason reasonOf(int status) {
        return switch (status) {
            case 401 -> Reason.REASON_CREDENTIAL_REVOKED;
            case 403 -> Reason.REASON_ACCESS_DENIED;
            case 404 -> Reason.REASON_NOT_FOUND;
            // It has forgotten this place in its change feed.
            case 410 -> Reason.REASON_CURSOR_INVALID;
            default -> status >= 500 ? Reason.REASON_SOURCE_UNAVAILABLE : Reason.REASON_INTERNAL;
        };
    }
}
