import TestSupport

/// One thing that goes wrong, and for how long.
enum Fault: Sendable, CustomStringConvertible {
  /// How a process goes away and comes back.
  enum Absence: String, Sendable, CaseIterable {
    case killed, paused, stopped
  }

  /// What happens to a node's disk.
  enum Damage: String, Sendable, CaseIterable {
    case flippedChunks, truncatedChunks, removedChunks, flippedSmallStore, truncatedSmallStore, emptied

    /// Files that a running process has open, or can not do without, are damaged between two runs.
    var needsStop: Bool {
      switch self {
      case .flippedChunks, .truncatedChunks, .removedChunks: false
      case .flippedSmallStore, .truncatedSmallStore, .emptied: true
      }
    }
  }

  case datanode(Int, Absence, Duration)
  case coordinator(Absence, Duration)
  case everything
  case cut(Int, ProcessCluster.Cut, Duration)
  case full(Int, Duration)
  case damage(Int, Damage, whileStopped: Bool)
  /// An operator drains the node, removes it, and gives the cluster a new one with an empty disk.
  case replaced(Int)

  /// Whether copies are lost by it. Then it comes alone, and the cluster heals before the next.
  var hurtsData: Bool {
    switch self {
    case .damage, .replaced: true
    case .datanode, .coordinator, .everything, .cut, .full: false
    }
  }

  var description: String {
    switch self {
    case .datanode(let number, let absence, let time): "datanode \(number) \(absence) for \(time)"
    case .coordinator(let absence, let time): "coordinator \(absence) for \(time)"
    case .everything: "everything killed"
    case .cut(let number, let others, let time): "datanode \(number) cut off from \(others) for \(time)"
    case .replaced(let number): "datanode \(number) drained, removed and replaced"
    case .full(let number, let time): "disk of datanode \(number) full for \(time)"
    case .damage(let number, let damage, let whileStopped):
      "disk of datanode \(number): \(damage)" + (whileStopped ? " while it is stopped" : "")
    }
  }
}

/// Chooses the faults: every kind once, in random order, then all of them again.
struct AttackPlan: Sendable {
  let datanodes: Int
  /// Whether the machine allows cuts and full disks.
  let isPrivileged: Bool
  /// Whether the cluster makes new copies. Otherwise only one node's copies are ever hurt.
  let heals: Bool
  private var random: SeededGenerator
  private var deck: [Kind] = []

  private enum Kind: Sendable {
    case datanode(Fault.Absence), coordinator(Fault.Absence), everything, cut(ProcessCluster.Cut), full
    case damage(Fault.Damage), replaced
  }

  init(datanodes: Int, isPrivileged: Bool, heals: Bool, seed: UInt64) {
    self.datanodes = datanodes
    self.isPrivileged = isPrivileged
    self.heals = heals
    random = SeededGenerator(seed: seed)
  }

  /// One fault, or two at once of which none hurts data.
  mutating func next() -> [Fault] {
    let first = fault(draw())
    guard !first.hurtsData, Int.random(in: 0..<4, using: &random) == 0, let node = node(of: first) else {
      return [first]
    }
    let other = (node + Int.random(in: 1..<datanodes, using: &random)) % datanodes
    return [first, .datanode(other, Fault.Absence.allCases.randomElement(using: &random) ?? .killed, time())]
  }

  /// Pause before the next.
  mutating func gap() -> Duration { .milliseconds(Int.random(in: 200...2500, using: &random)) }

  private mutating func draw() -> Kind {
    if deck.isEmpty {
      deck = Fault.Absence.allCases.map { .datanode($0) } + Fault.Absence.allCases.map { .coordinator($0) }
      deck += Fault.Damage.allCases.filter { heals || $0 != .emptied }.map { .damage($0) }
      deck.append(.everything)
      if heals { deck.append(.replaced) }
      if isPrivileged { deck += ProcessCluster.Cut.allCases.map { .cut($0) } + [.full] }
      deck.shuffle(using: &random)
    }
    return deck.removeLast()
  }

  private mutating func fault(_ kind: Kind) -> Fault {
    let node = Int.random(in: 0..<datanodes, using: &random)
    switch kind {
    case .datanode(let absence): return .datanode(node, absence, time())
    case .coordinator(let absence): return .coordinator(absence, time())
    case .everything: return .everything
    case .cut(let others): return .cut(node, others, time())
    case .replaced: return .replaced(node)
    case .full: return .full(node, .seconds(Int.random(in: 3...8, using: &random)))
    case .damage(let damage):
      return .damage(
        heals ? node : 0, damage, whileStopped: damage.needsStop || Bool.random(using: &random))
    }
  }

  /// Shorter than the time until a node is down, until it is out, or longer.
  private mutating func time() -> Duration {
    let longest = [1500, 4000, 9000].randomElement(using: &random) ?? 1500
    return .milliseconds(Int.random(in: 300...longest, using: &random))
  }

  private func node(of fault: Fault) -> Int? {
    switch fault {
    case .datanode(let node, _, _), .cut(let node, _, _), .full(let node, _), .damage(let node, _, _),
      .replaced(let node):
      node
    case .coordinator, .everything: nil
    }
  }
}
