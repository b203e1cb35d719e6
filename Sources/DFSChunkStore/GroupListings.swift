import DFSCore
import Synchronization

/// The names of groups whose inventory is being taken, sorted, so that a page costs by its own size: without
/// it every page would read the group's whole directory again.
///
/// A listing follows what is published and removed, so a page shows the group as it is when the page is
/// taken. Bounded: a listing goes with its last page, and the one unused for longest makes room.
final class GroupListings: Sendable {
  private struct Listing: Sendable {
    var chunks: [ChunkID]
    var lastUse: UInt64
  }

  /// A directory that is being read, and what changed meanwhile.
  private struct Loading: Sendable {
    var group: GroupID
    var changes: [ChunkID: Bool] = [:]
  }

  private struct State: Sendable {
    var kept: [GroupID: Listing] = [:]
    var loading: [UInt64: Loading] = [:]
    var uses: UInt64 = 0
  }

  private let state = Mutex(State())
  private let capacity: Int

  /// Keeps at most `capacity` names: 16 bytes each.
  init(capacity: Int = 1 << 20) { self.capacity = capacity }

  /// Names that are kept now.
  var count: Int { state.withLock { $0.kept.values.reduce(0) { $0 + $1.chunks.count } } }

  /// The first `limit` chunks of the group after `chunk`, in order, and whether they are the last. `read`
  /// reads the directory, in any order.
  func page(
    of group: GroupID, after chunk: ChunkID?, limit: Int, read: () throws -> [ChunkID]
  ) throws -> (chunks: [ChunkID], isLast: Bool) {
    if let page = kept(group, after: chunk, limit: limit) { return page }
    let ticket = state.withLock { state in
      state.uses += 1
      state.loading[state.uses] = Loading(group: group)
      return state.uses
    }
    defer { state.withLock { $0.loading[ticket] = nil } }
    let found = try read().sorted()
    return state.withLock { state in
      var chunks = found
      for (chunk, isThere) in state.loading[ticket]?.changes ?? [:] { chunks.note(chunk, isThere: isThere) }
      let page = chunks.page(after: chunk, limit: limit)
      if !page.isLast { keep(chunks, of: group, in: &state) }
      return page
    }
  }

  /// Called after the chunk got its name or lost it. Calls for one chunk come one after another. Says whether a
  /// listing that is kept knew it otherwise.
  @discardableResult
  func note(_ chunk: ChunkID, in group: GroupID, isThere: Bool) -> Bool {
    state.withLock { state in
      let isNews = state.kept[group]?.chunks.note(chunk, isThere: isThere) ?? false
      for ticket in state.loading.keys where state.loading[ticket]?.group == group {
        state.loading[ticket]?.changes[chunk] = isThere
      }
      return isNews
    }
  }

  private func kept(_ group: GroupID, after chunk: ChunkID?, limit: Int) -> (
    chunks: [ChunkID], isLast: Bool
  )? {
    state.withLock { state in
      guard let page = state.kept[group]?.chunks.page(after: chunk, limit: limit) else { return nil }
      state.uses += 1
      state.kept[group]?.lastUse = state.uses
      if page.isLast { state.kept[group] = nil }
      return page
    }
  }

  private func keep(_ chunks: [ChunkID], of group: GroupID, in state: inout State) {
    guard chunks.count <= capacity else { return }
    state.uses += 1
    state.kept[group] = Listing(chunks: chunks, lastUse: state.uses)
    while state.kept.values.reduce(0, { $0 + $1.chunks.count }) > capacity,
      let oldest = state.kept.min(by: { $0.value.lastUse < $1.value.lastUse })?.key
    { state.kept[oldest] = nil }
  }
}

/// A sorted list of chunks.
extension [ChunkID] {
  /// The place of the first chunk after `chunk`.
  private func place(after chunk: ChunkID) -> Int {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if self[middle] > chunk { high = middle } else { low = middle + 1 }
    }
    return low
  }

  fileprivate func page(after chunk: ChunkID?, limit: Int) -> (chunks: [ChunkID], isLast: Bool) {
    let start = chunk.map(place) ?? 0
    return (Array(self[start...].prefix(limit)), count - start <= limit)
  }

  /// Whether it changed.
  @discardableResult
  fileprivate mutating func note(_ chunk: ChunkID, isThere: Bool) -> Bool {
    let place = place(after: chunk)
    let isKnown = place > 0 && self[place - 1] == chunk
    if isThere, !isKnown { insert(chunk, at: place) }
    if !isThere, isKnown { remove(at: place - 1) }
    return isThere != isKnown
  }
}
