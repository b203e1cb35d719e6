import DFSCore
import DFSRPC
import DFSTransport
import Logging
import NIOConcurrencyHelpers

/// The connections to other datanodes: one channel per address, kept for the next transfer.
///
/// Senders name the addresses, so their number is bounded: the one unused for longest goes.
final class PeerChannels: Sendable {
  private struct Entry {
    let channel: RPCChannel
    var used: UInt64
  }

  private struct State {
    var entries: [Endpoint: Entry] = [:]
    var uses: UInt64 = 0
  }

  private let limit: Int
  private let make: @Sendable (Endpoint) -> RPCChannel
  private let state = NIOLockedValueBox(State())

  init(limit: Int = 512, _ make: @escaping @Sendable (Endpoint) -> RPCChannel) {
    self.limit = limit
    self.make = make
  }

  func channel(to endpoint: Endpoint) -> RPCChannel {
    let (channel, retired) = state.withLockedValue { state -> (RPCChannel, RPCChannel?) in
      state.uses += 1
      if let channel = state.entries[endpoint]?.channel {
        state.entries[endpoint]?.used = state.uses
        return (channel, nil)
      }
      var retired: RPCChannel?
      if state.entries.count >= limit, let oldest = state.entries.min(by: { $0.value.used < $1.value.used }) {
        retired = oldest.value.channel
        state.entries[oldest.key] = nil
      }
      let channel = make(endpoint)
      state.entries[endpoint] = Entry(channel: channel, used: state.uses)
      return (channel, retired)
    }
    if let retired { Task { await retired.close() } }
    return channel
  }

  func close() async {
    let channels = state.withLockedValue { state in
      defer { state.entries = [:] }
      return state.entries.values.map(\.channel)
    }
    for channel in channels { await channel.close() }
  }
}
