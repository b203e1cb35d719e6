package import DFSCore
package import DFSRPC
package import DFSTransport
package import Logging
import Synchronization

/// One channel to each datanode that was called, made when it is first needed and again when the node has
/// moved or was silent.
package final class NodeChannels: Sendable {
  private struct Entry {
    var endpoints: [Endpoint]
    var channel: RPCChannel
  }
  private struct State {
    var entries: [NodeID: Entry] = [:]
    var isClosed = false
  }

  private let cluster: Cluster
  private let configuration: RPCChannel.Configuration
  private let loops: NetworkLoops
  private let logger: Logger
  private let state = Mutex(State())

  package init(
    cluster: Cluster, configuration: RPCChannel.Configuration, loops: NetworkLoops, logger: Logger
  ) {
    self.cluster = cluster
    self.configuration = configuration
    self.loops = loops
    self.logger = logger
  }

  /// Throws `.unavailable` for a node without an address, and after `close()`.
  package func channel(to node: NodeID) throws -> RPCChannel {
    let endpoints = cluster.member(node)?.record.endpoints ?? []
    guard !endpoints.isEmpty else { throw DFSError(.unavailable, "no address of node \(node) is known") }
    let (channel, old) = try state.withLock { state -> (RPCChannel, RPCChannel?) in
      guard !state.isClosed else { throw DFSError(.unavailable, "the coordinator is stopping") }
      let entry = state.entries[node]
      if let entry, entry.endpoints == endpoints { return (entry.channel, nil) }
      let made = RPCChannel(
        endpoints: endpoints, configuration: configuration, loops: loops, logger: logger)
      state.entries[node] = Entry(endpoints: endpoints, channel: made)
      return (made, entry?.channel)
    }
    if let old { Task { await old.close() } }
    return channel
  }

  /// Ends all calls to a node that has fallen silent: on a connection that is dead without having been closed
  /// they would wait for their own time limits. The next call makes a new channel.
  package func abandon(_ node: NodeID) {
    guard let entry = state.withLock({ $0.entries.removeValue(forKey: node) }) else { return }
    Task { await entry.channel.close() }
  }

  package func close() async {
    let channels = state.withLock { state in
      state.isClosed = true
      defer { state.entries = [:] }
      return state.entries.values.map(\.channel)
    }
    for channel in channels { await channel.close() }
  }
}
