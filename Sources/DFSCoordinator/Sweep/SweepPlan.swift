package import DFSCore
package import DFSMetadata

/// Compares what the members of a group have, in one window of ids, with what the metadata knows.
///
/// A value without I/O. The order of its inputs is what it stands on, and the caller keeps it:
///
/// 1. the group's row and, from one view, the ids that the group has *before* anybody is asked (`named`); 2.
/// the inventories of *all* members, taken at the row's epoch; 3. what the metadata says of the ids in
/// question (`questions`), from a view taken *after* the last inventory    and at the same epoch of the row:
/// else the window is thrown away.
///
/// A member that has something else under an id that the metadata names does not have that chunk.
///
/// What a member has and is dead in the later view was dead when it was listed or died since, and can not
/// become alive: it is an orphan. What was named before and still is, and a full member does not list, was
/// lost by it: a member that missed a write is not full. A chunk that was written and named in between is in
/// neither.
package struct SweepPlan: Sendable {
  /// A page of the group's ids in the metadata, from the earlier view, with what a copy of each is.
  package struct Named: Sendable {
    package var chunks: [ChunkID]
    package var references: [ChunkID: ChunkReference]
    package var more: Bool

    package init(chunks: [ChunkID], references: [ChunkID: ChunkReference], more: Bool) {
      self.chunks = chunks
      self.references = references
      self.more = more
    }

    /// Whether the entry is no copy of the chunk that the metadata names by its id.
    fileprivate func contradicts(_ entry: InventoryEntry) -> Bool {
      references[entry.chunk].map { $0.length != entry.length || $0.root != entry.root } ?? false
    }
  }

  /// What is to be done about the window.
  package struct Findings: Sendable, Hashable {
    /// Dead chunks, in order, and the members that have some of them.
    package var orphans: [ChunkID] = []
    package var holders: [NodeID] = []
    /// Full members that lack living chunks which another member has: they are behind.
    package var lacking: [NodeID: [ChunkID]] = [:]
    /// Living chunks that no member has.
    package var missing: [ChunkID] = []
    /// Chunks that live in the window.
    package var living = 0
    /// Chunks of a history that is not this one's: left alone.
    package var foreign = 0

    package init() {}
  }

  package let row: PlacementGroup
  /// Where the window ends: all ids after its start and up to this one were compared; `nil` for the end of
  /// the group.
  package let end: ChunkID?
  /// The ids that the metadata is to be asked about.
  package let questions: [ChunkID]
  private let named: [ChunkID]
  private let listed: [NodeID: Set<ChunkID>]

  /// `inventories` holds a page of every member of the row, each after the start of the window.
  package init(row: PlacementGroup, named: Named, inventories: [NodeID: InventoryPage]) {
    precondition(Set(row.members) == Set(inventories.keys), "a sweep compares all members")
    var end: ChunkID?
    func endAt(_ last: ChunkID?, _ more: Bool) {
      guard more else { return }
      precondition(last != nil, "a page that is not the last one has an end")
      if let last { end = min(end ?? last, last) }
    }
    endAt(named.chunks.last, named.more)
    for page in inventories.values { endAt(page.entries.last?.chunk, page.more) }
    func isInside(_ chunk: ChunkID) -> Bool { end.map { chunk <= $0 } ?? true }
    let namedInside = named.chunks.filter(isInside)
    let listed = inventories.mapValues { page in
      Set(page.entries.lazy.filter { isInside($0.chunk) && !named.contradicts($0) }.map(\.chunk))
    }
    let known = Set(namedInside)
    var questions = listed.values.reduce(into: Set<ChunkID>()) { $0.formUnion($1) }.subtracting(known)
    let full = row.slots.filter { $0.state == .full }.compactMap(\.node)
    for node in full { questions.formUnion(known.subtracting(listed[node] ?? [])) }
    // Without a full member what nobody has is still missing.
    if full.isEmpty {
      questions.formUnion(known.filter { chunk in !listed.values.contains { $0.contains(chunk) } })
    }
    self.row = row
    self.end = end
    self.named = namedInside
    self.listed = listed
    self.questions = questions.sorted()
  }

  /// Decides, with the answers to `questions` in the same order.
  package func findings(_ answers: [ChunkLiveness]) -> Findings {
    precondition(answers.count == questions.count, "every question has its answer")
    var findings = Findings()
    var holders: Set<NodeID> = []
    let known = Set(named)
    findings.living = named.count
    for (chunk, liveness) in zip(questions, answers) {
      let owners = listed.filter { $0.value.contains(chunk) }.map(\.key)
      switch liveness {
      case .foreign: findings.foreign += 1
      case .uploading: findings.living += 1
      case .condemned: if known.contains(chunk) { findings.living -= 1 }
      case .dead:
        if known.contains(chunk) { findings.living -= 1 }
        guard !owners.isEmpty else { continue }
        findings.orphans.append(chunk)
        holders.formUnion(owners)
      case .named:
        guard known.contains(chunk) else {
          findings.living += 1
          continue
        }
        if owners.isEmpty {
          findings.missing.append(chunk)
        } else {
          for slot in row.slots where slot.state == .full {
            guard let node = slot.node, !owners.contains(node) else { continue }
            findings.lacking[node, default: []].append(chunk)
          }
        }
      }
    }
    findings.holders = holders.sorted()
    return findings
  }
}
