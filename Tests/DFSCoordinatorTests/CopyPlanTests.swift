import DFSCore
import TestSupport
import Testing

@testable import DFSCoordinator

@Suite struct CopyPlanTests {
  private typealias Candidate = CopyPlan.Candidate

  private func node(
    _ number: UInt64, zone: String = "", disk: String = "", free: Int64 = 1, hasCopy: Bool = false,
    isComplete: Bool = false, isReady: Bool = true
  ) -> CopyPlan.Candidate {
    CopyPlan.Candidate(
      node: NodeID(rawValue: number), zone: Zone(name: zone, node: NodeID(rawValue: number)), disk: disk,
      free: ByteCount(rawValue: free), hasCopy: hasCopy, isComplete: isComplete, isReady: isReady)
  }

  private func choose(_ wanted: Int, _ candidates: [CopyPlan.Candidate], keeping holders: [UInt64] = []) -> [UInt64] {
    CopyPlan(wanted: wanted).choose(from: candidates, keeping: holders.map { NodeID(rawValue: $0) })
      .map(\.rawValue)
  }

  @Test func `copies go to different disks, then to different zones, then to where most is free`() {
    #expect(choose(2, [node(1), node(2, free: 9), node(3, free: 5)]) == [2, 3])
    #expect(choose(2, [node(1, zone: "a", free: 9), node(2, zone: "a", free: 8), node(3, zone: "b")]) == [1, 3])
    #expect(
      choose(2, [node(1, zone: "a", disk: "d", free: 9), node(2, zone: "b", disk: "d"), node(3, zone: "a", disk: "e")])
        == [2, 3])
    // A node that has one already need not be sent everything.
    #expect(choose(2, [node(1, free: 9), node(2, free: 8), node(3, hasCopy: true)]) == [3, 1])
    #expect(choose(0, [node(1)], keeping: [1]) == [])
  }

  @Test func `with fewer nodes there are as many copies as nodes, and one that comes gets its own`() {
    #expect(choose(2, []) == [])
    #expect(choose(2, [node(1)]) == [1])
    #expect(choose(2, [node(1), node(2)], keeping: [1]) == [1, 2])
    #expect(choose(2, [node(1), node(2, isReady: false)], keeping: [1]) == [1])
  }

  @Test func `a copy stays where it is, also while its node is silent, and moves when the node is gone`() {
    let three = [node(1, free: 1, isComplete: true), node(2, free: 9), node(3, free: 9, isComplete: true)]
    #expect(choose(2, three, keeping: [1, 3]) == [1, 3])
    #expect(choose(2, [node(1, isReady: false), node(2), node(3)], keeping: [1, 3]) == [1, 3])
    #expect(choose(2, [node(2), node(3)], keeping: [1, 3]) == [3, 2])
  }

  @Test func `a better place is taken, and the old copy goes only when the new ones are complete`() {
    var nodes = [
      node(1, zone: "a", isComplete: true), node(2, zone: "a", isComplete: true), node(3, zone: "b"),
    ]
    #expect(choose(2, nodes, keeping: [1, 2]) == [1, 3, 2])
    #expect(choose(2, nodes, keeping: [1, 3, 2]) == [1, 3, 2])
    nodes[2].isComplete = true
    #expect(choose(2, nodes, keeping: [1, 3, 2]) == [1, 3])
    // Fewer copies are wanted than there are.
    #expect(choose(1, nodes, keeping: [1, 3]) == [1])
  }

  @Test func `whatever happens, the plan comes to rest at as many copies as can be`() {
    var random = SeededGenerator()
    print("seed \(random.seed)")
    for _ in 0..<300 {
      let wanted = Int.random(in: 1...4, using: &random)
      var holders: [UInt64] = []
      var nodes = (1...UInt64.random(in: 1...8, using: &random)).map { number in
        node(
          number, zone: ["", "a", "b"][Int.random(in: 0...2, using: &random)],
          disk: ["", "x", "y"][Int.random(in: 0...2, using: &random)],
          free: Int64.random(in: 0...3, using: &random))
      }
      var settled = 0
      for step in 0..<40 {
        if step < 10, Bool.random(using: &random), nodes.count > 1 {
          nodes.remove(at: Int.random(in: 0..<nodes.count, using: &random))
        }
        let next = choose(wanted, nodes, keeping: holders)
        #expect(Set(next).count == next.count && next.count <= 2 * wanted, "seed \(random.seed)")
        settled = next == holders ? settled + 1 : 0
        holders = next
        for index in nodes.indices { nodes[index].isComplete = holders.contains(nodes[index].node.rawValue) }
      }
      #expect(settled > 20 && holders.count == min(wanted, nodes.count), "seed \(random.seed)")
    }
  }
}
