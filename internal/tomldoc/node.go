package tomldoc

// A span is a stretch of the text in bytes, half open.
type span struct{ start, end int }

// A node says where one value stands. The values themselves come from the parser.
type node struct {
	key      span // its name; of an array's element, the array's
	value    span // its value; of a table its header
	names    []string
	children map[string]*node
	items    []*node // the elements of an array, also of an array of tables
	table    *Table  // once it was opened
}

// child finds or makes the node of a name. A table may be mentioned before its
// header comes; its first mention serves until then.
func (n *node) child(name string, at span) *node {
	if c, ok := n.children[name]; ok {
		return c
	}
	if n.children == nil {
		n.children = make(map[string]*node)
	}
	c := &node{key: at, value: at}
	n.children[name] = c
	n.names = append(n.names, name)
	return c
}

// last is the table that a name means in a header: of an array its last element.
func (n *node) last() *node {
	if len(n.items) > 0 {
		return n.items[len(n.items)-1]
	}
	return n
}
