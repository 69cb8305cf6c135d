"""What travels between the parts of cash-flow: messages, topics, money and the words for saying no."""
