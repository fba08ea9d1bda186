package com.superfasttt.tracker;

import com.google.protobuf.ByteString;
import com.google.protobuf.Struct;
import java.util.List;
import java.util.Map;
import superfasttt.connector.v1.ConnectorOuterClass.PullMode;

/**
 * What a connector does, apart from gRPC: it is initialized with a connection, says how that does, reads it, and understands
 * its events.
 *
 * <p>One is made for each call, because a connector keeps nothing between calls; it is closed when the call ends. Its thread is
 * interrupted when the server goes away.
 */
interface DocumentConnector {
    /** Takes the connection that the call is about. Comes first. */
    void initialize(ConnectorConfig config);

    /** Says whether the connection works. A problem is a status, not an exception. */
    ConnectorStatus getStatus() throws InterruptedException;

    /** Gives what the request asks for to its sink, from the cursor on. */
    void synchronize(SyncRequest request) throws InterruptedException;

    /** Says what a webhook means. */
    EventMeaning handleEvent(ConnectorEvent event);

    /** A connection's settings, and its key; the key is null for a call that has none. */
    record ConnectorConfig(Struct settings, String key) {}

    /** How a connection does: ready with the account whose it is, or what is wrong and what to do about it. */
    record ConnectorStatus(boolean ready, String message, String fix, Account account) {}

    /** Whose account a connection reads. */
    record Account(String id, String name, String email) {}

    /** What is wanted: the cursor is empty where there is none yet, the ids are those of TARGETED. */
    record SyncRequest(PullMode mode, ByteString cursor, List<String> ids, Sink sink) {}

    /** A webhook as it came; header names are lower-case. */
    record ConnectorEvent(Map<String, String> headers, byte[] body, String signingSecret) {}

    /** What a webhook means: the ids that changed, or that it is not the source's. */
    record EventMeaning(boolean verified, List<String> changedIds) {}

    /** Takes what a connector reads. Its methods wait while the server is behind. */
    interface Sink {
        /** An item as the source gave it; its document, or why there is none, is made of it where it is wanted. */
        void item(String id, String version, Struct raw) throws InterruptedException;

        /** The source reported that it is gone. */
        void deletion(String id) throws InterruptedException;

        /** It could not be read; everything else goes on. */
        void itemError(String id, ConnectorException error) throws InterruptedException;

        /** Everything given so far is covered by this cursor. */
        void checkpoint(ByteString cursor, boolean hasMore) throws InterruptedException;

        /** Everything was named: what was not is gone. */
        void completeListing(ByteString cursor) throws InterruptedException;
    }
}
