package com.superfasttt.tracker;

import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Struct;
import com.google.protobuf.Value;
import com.google.protobuf.util.JsonFormat;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.util.HexFormat;
import java.util.List;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;
import superfasttt.connector.v1.ConnectorOuterClass.PullMode;
import superfasttt.connector.v1.Errors.Reason;

/** Reads the sample tracker: its issues page by page, then its changes, deletions too. */
final class TrackerConnector implements DocumentConnector {
    private Tracker tracker;

    @Override
    public void initialize(ConnectorConfig config) {
        tracker = new Tracker(config.settings().getFieldsOrDefault("url", Value.getDefaultInstance()).getStringValue(), config.key());
    }

    @Override
    public ConnectorStatus getStatus() throws InterruptedException {
        try {
            Struct account = tracker.get("/account");
            Account whose = new Account(text(account, "id"), text(account, "name"), text(account, "email"));
            return new ConnectorStatus(true, "the key is that of " + whose.name(), "", whose);
        } catch (ConnectorException problem) {
            boolean key = problem.reason() == Reason.REASON_CREDENTIAL_REVOKED;
            String fix = key ? "enter a key that the tracker takes" : "see whether the tracker answers";
            return new ConnectorStatus(false, problem.getMessage(), fix, null);
        }
    }

    @Override
    public void synchronize(SyncRequest request) throws InterruptedException {
        switch (request.mode()) {
            case PULL_MODE_TARGETED -> readEach(request);
            case PULL_MODE_INCREMENTAL -> readChanges(request, Cursor.read(request.cursor()));
            default -> readListing(request, Cursor.read(request.cursor()));
        }
    }

    private void readEach(SyncRequest request) throws InterruptedException {
        for (String id : request.ids()) {
            try {
                give(request.sink(), tracker.get("/issues/" + URLEncoder.encode(id, StandardCharsets.UTF_8)));
            } catch (ConnectorException failed) {
                switch (failed.reason()) {
                    case REASON_NOT_FOUND -> request.sink().deletion(id);
                    case REASON_ACCESS_DENIED, REASON_INTERNAL -> request.sink().itemError(id, failed);
                    default -> throw failed;
                }
            }
        }
    }

    private void readChanges(SyncRequest request, Cursor at) throws InterruptedException {
        boolean more = true;
        for (long since = at.since(); more; ) {
            Struct page = tracker.get("/changes?since=" + since);
            for (Value change : list(page, "changes")) {
                Struct fields = change.getStructValue();
                if (fields.containsFields("issue")) {
                    give(request.sink(), fields.getFieldsOrThrow("issue").getStructValue());
                } else {
                    request.sink().deletion(Long.toString(number(fields, "deleted")));
                }
            }
            since = number(page, "sequence");
            more = page.getFieldsOrThrow("has_more").getBoolValue();
            request.sink().checkpoint(new Cursor(0, since).write(), more);
        }
    }

    private void readListing(SyncRequest request, Cursor at) throws InterruptedException {
        while (true) {
            Struct page = tracker.get("/issues?page=" + at.page());
            for (Value issue : list(page, "issues")) {
                give(request.sink(), issue.getStructValue());
            }
            // The place where the listing began: what happens meanwhile is in the feed.
            long since = at.page() == 0 ? number(page, "sequence") : at.since();
            at = new Cursor(number(page, "next_page"), since);
            if (at.page() == 0) {
                request.sink().completeListing(at.write());
                return;
            }
            request.sink().checkpoint(at.write(), true);
        }
    }

    private static void give(Sink sink, Struct issue) throws InterruptedException {
        sink.item(Long.toString(number(issue, "number")), Long.toString(number(issue, "sequence")), issue);
    }

    /** The tracker itself sends none: a webhook as most sources send it, with an HMAC of its body and the numbers of issues. */
    @Override
    public EventMeaning handleEvent(ConnectorEvent event) {
        try {
            Mac mac = Mac.getInstance("HmacSHA256");
            mac.init(new SecretKeySpec(event.signingSecret().getBytes(StandardCharsets.UTF_8), "HmacSHA256"));
            String expected = HexFormat.of().formatHex(mac.doFinal(event.body()));
            String given = event.headers().getOrDefault("x-tracker-signature", "");
            if (!MessageDigest.isEqual(expected.getBytes(StandardCharsets.UTF_8), given.getBytes(StandardCharsets.UTF_8))) {
                return new EventMeaning(false, List.of());
            }
            Struct.Builder body = Struct.newBuilder();
            JsonFormat.parser().merge(new String(event.body(), StandardCharsets.UTF_8), body);
            List<Value> issues = list(body.build(), "issues");
            return new EventMeaning(true, issues.stream().map(issue -> Long.toString((long) issue.getNumberValue())).toList());
        } catch (GeneralSecurityException | IllegalArgumentException unsigned) {
            // An empty secret: nothing can be verified by it.
            return new EventMeaning(false, List.of());
        } catch (InvalidProtocolBufferException noJson) {
            throw new ConnectorException(Reason.REASON_INTERNAL, "the webhook's body is no JSON object");
        }
    }

    private static String text(Struct fields, String name) {
        return fields.getFieldsOrDefault(name, Value.getDefaultInstance()).getStringValue();
    }

    /** 0 for what is null or missing. */
    private static long number(Struct fields, String name) {
        return (long) fields.getFieldsOrDefault(name, Value.getDefaultInstance()).getNumberValue();
    }

    private static List<Value> list(Struct fields, String name) {
        return fields.getFieldsOrDefault(name, Value.getDefaultInstance()).getListValue().getValuesList();
    }

    /** The page that a listing goes on with, 0 for none, and the place in the change feed that follows on it. */
    record Cursor(long page, long since) {
        static Cursor read(ByteString cursor) {
            if (cursor.isEmpty()) {
                return new Cursor(0, 0);
            }
            String[] parts = cursor.toStringUtf8().split(":", -1);
            try {
                if (parts.length == 3 && parts[0].equals("1")) {
                    return new Cursor(Long.parseLong(parts[1]), Long.parseLong(parts[2]));
                }
            } catch (NumberFormatException anotherForm) {
                // As below.
            }
            throw new ConnectorException(Reason.REASON_CURSOR_INVALID, "the cursor is not one that this version of the connector wrote");
        }

        ByteString write() {
            return ByteString.copyFromUtf8("1:" + page + ":" + since);
        }
    }
}
